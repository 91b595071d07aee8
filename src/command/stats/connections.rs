//! Why connections are refused, and why they end.

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// There are as many as there may be.
    MaxClients,
    /// Nobody would have to authenticate, and it does not come from this machine.
    ProtectedMode,
    /// Its tenant has as many as it may. It stays without a tenant, and may try again.
    TenantConnections,
}

impl Rejection {
    /// All, by number.
    pub const ALL: [Rejection; 3] =
        [Rejection::MaxClients, Rejection::ProtectedMode, Rejection::TenantConnections];

    /// What metrics call it.
    pub fn name(self) -> &'static str {
        match self {
            Rejection::MaxClients => "maxclients",
            Rejection::ProtectedMode => "protected_mode",
            Rejection::TenantConnections => "tenant_connections",
        }
    }
}

/// Why a connection that was accepted ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The client left, sent `QUIT`, or was lost.
    Client,
    /// Nothing came or went for `--timeout`.
    Idle,
    /// `CLIENT KILL`.
    Killed,
    /// Its token was revoked.
    Revoked,
    /// What it sent was no request, or a longer one than may be.
    Protocol,
    /// `--client-memory-max` was used up.
    ClientMemory,
    /// It let more pile up than it may: replies, requests behind them, or what a monitor is shown.
    OutputLimit,
    /// The TLS handshake failed.
    TlsHandshake,
    /// The process stops.
    Shutdown,
}

impl Ending {
    /// All, by number.
    pub const ALL: [Ending; 9] = [
        Ending::Client,
        Ending::Idle,
        Ending::Killed,
        Ending::Revoked,
        Ending::Protocol,
        Ending::ClientMemory,
        Ending::OutputLimit,
        Ending::TlsHandshake,
        Ending::Shutdown,
    ];

    /// What metrics call it.
    pub fn name(self) -> &'static str {
        match self {
            Ending::Client => "client",
            Ending::Idle => "idle",
            Ending::Killed => "killed",
            Ending::Revoked => "revoked",
            Ending::Protocol => "protocol",
            Ending::ClientMemory => "client_memory",
            Ending::OutputLimit => "output_limit",
            Ending::TlsHandshake => "tls_handshake",
            Ending::Shutdown => "shutdown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_number() {
        for (number, rejection) in Rejection::ALL.into_iter().enumerate() {
            assert_eq!(rejection as usize, number);
        }
        for (number, ending) in Ending::ALL.into_iter().enumerate() {
            assert_eq!(ending as usize, number);
        }
    }
}
