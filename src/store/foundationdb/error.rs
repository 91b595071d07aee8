//! What FoundationDB's error codes mean for the transaction that got one.

use foundationdb::FdbError;

use crate::store::{CommitError, ReadError};

/// What kind of failure a code is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Another transaction changed what this one read.
    Conflict,
    /// The read version is older than what the cluster keeps.
    TooOld,
    /// A storage server does not have the read version yet.
    FutureVersion,
    /// A storage server is behind the others.
    ProcessBehind,
    /// The cluster takes fewer transactions than it is offered.
    Throttled,
    /// The database is locked by an operator.
    Locked,
    /// It is not known whether the commit happened.
    Unknown,
    /// The transaction's time is up.
    TimedOut,
    /// The transaction is too large.
    TooLarge,
    /// Anything else, which trying again does not help.
    Other,
}

/// The code of `transaction_too_old`.
pub const TOO_OLD: i32 = 1007;
/// The code of `transaction_timed_out`.
pub const TIMED_OUT: i32 = 1031;

/// What kind of failure `code` is.
pub fn kind(code: i32) -> Kind {
    match code {
        1020 => Kind::Conflict,
        TOO_OLD => Kind::TooOld,
        1009 => Kind::FutureVersion,
        1037 => Kind::ProcessBehind,
        // Proxies out of memory, batch and tag throttling.
        1042 | 1051 | 1078 | 1213 | 1223 => Kind::Throttled,
        1038 => Kind::Locked,
        // The cluster's coordinators changed their version under a commit.
        1021 | 1039 => Kind::Unknown,
        TIMED_OUT => Kind::TimedOut,
        2101 => Kind::TooLarge,
        _ => Kind::Other,
    }
}

/// The cause in words.
pub fn cause(error: FdbError) -> String {
    let help = match kind(error.code()) {
        Kind::Locked => "; an operator can unlock it with fdbcli",
        _ => "",
    };
    format!("{} (FoundationDB error {}){help}", error.message(), error.code())
}

/// Whether the transaction always waits with `on_error` before it is tried again.
pub fn backs_off(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::TooOld | Kind::FutureVersion | Kind::ProcessBehind | Kind::Throttled | Kind::Unknown
    )
}

/// What a failed read means.
pub fn read_error(error: FdbError) -> ReadError {
    match kind(error.code()) {
        Kind::TimedOut => ReadError::TimedOut,
        // That lasts until somebody ends it.
        Kind::Locked => ReadError::Failed(cause(error)),
        Kind::TooLarge | Kind::Other if !error.is_retryable() => ReadError::Failed(cause(error)),
        // Nothing was committed, so even an unknown outcome is none.
        _ => ReadError::Retry,
    }
}

/// What a failed commit means.
pub fn commit_error(error: FdbError) -> CommitError {
    match kind(error.code()) {
        Kind::Conflict => CommitError::Conflict,
        Kind::TooOld | Kind::FutureVersion | Kind::ProcessBehind | Kind::Throttled => {
            CommitError::Retry
        }
        Kind::Locked => CommitError::Refused(cause(error)),
        // The client library has made sure that it is not under way any more: it does so unless
        // CAUSAL_WRITE_RISKY is set, which it never is.
        Kind::Unknown => CommitError::Unknown(cause(error)),
        Kind::TimedOut => CommitError::TimedOut,
        Kind::TooLarge => CommitError::TooLarge,
        Kind::Other if error.is_maybe_committed() => CommitError::Unknown(cause(error)),
        Kind::Other if error.is_retryable() => CommitError::Retry,
        Kind::Other => CommitError::Refused(cause(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(code: i32) -> ReadError {
        read_error(FdbError::from_code(code))
    }

    fn commit(code: i32) -> CommitError {
        commit_error(FdbError::from_code(code))
    }

    #[test]
    fn what_passes_is_retried() {
        for code in [1007, 1009, 1037, 1042, 1051, 1078, 1213, 1223] {
            assert_eq!(read(code), ReadError::Retry, "{code}");
            assert_eq!(commit(code), CommitError::Retry, "{code}");
            assert!(backs_off(kind(code)), "{code}");
        }
        assert_eq!(read(1039), ReadError::Retry);
    }

    #[test]
    fn unknown_outcomes_are_never_called_anything_else() {
        for code in [1021, 1039] {
            assert!(matches!(commit(code), CommitError::Unknown(_)), "{code}");
            assert!(FdbError::from_code(code).is_maybe_committed(), "{code}");
        }
    }

    #[test]
    fn our_kinds_agree_with_the_library() {
        // All but one: a locked database stays so until somebody unlocks it.
        for code in (1000..2300).filter(|code| *code != 1038) {
            let error = FdbError::from_code(code);
            let retried = matches!(commit_error(error), CommitError::Retry | CommitError::Conflict);
            assert_eq!(retried, error.is_retryable_not_committed(), "{code}");
            let unknown = matches!(commit_error(error), CommitError::Unknown(_));
            assert_eq!(unknown, error.is_maybe_committed(), "{code}");
        }
    }

    #[test]
    fn the_rest_has_its_own_meaning() {
        assert_eq!(commit(1020), CommitError::Conflict);
        assert!(!backs_off(kind(1020)));
        assert_eq!(commit(1031), CommitError::TimedOut);
        assert_eq!(read(1031), ReadError::TimedOut);
        assert_eq!(commit(2101), CommitError::TooLarge);
        assert!(matches!(commit(2103), CommitError::Refused(_)));
        assert!(matches!(
            (read(1038), commit(1038)),
            (ReadError::Failed(_), CommitError::Refused(_))
        ));
        let ReadError::Failed(text) = read(1501) else { panic!("not a failure") };
        assert!(text.ends_with("(FoundationDB error 1501)"), "{text}");
    }
}
