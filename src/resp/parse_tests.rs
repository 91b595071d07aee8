//! The property: however input is cut into receives, the parser finds the same commands and the
//! same error as in one piece, and those are Redis's.

use super::{ParseLimits, Parser, ProtocolError, Requests};

type Commands = Vec<Vec<Vec<u8>>>;

const SMALL: ParseLimits = ParseLimits {
    value_bytes_max: 1000,
    request_bytes_max: 2000,
    arguments_max: 50,
    inline_bytes_max: 300,
};

/// Parses `pieces` as a connection does: appending each to what the last call left.
fn parse_pieces<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    limits: &ParseLimits,
    commands_max: usize,
) -> (Commands, Result<Vec<u8>, ProtocolError>) {
    let mut parser = Parser::new();
    let mut buffer = Vec::new();
    let mut commands = Commands::new();
    let mut requests = Requests::default();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            requests.clear();
            let outcome = parser.parse(&mut buffer, limits, commands_max, &mut requests);
            assert_eq!(requests.args.len(), requests.ends.last().map_or(0, |&end| end as usize));
            for index in 0..requests.len() {
                let args = requests.command(index).iter().map(|arg| arg.of(&buffer).to_vec());
                commands.push(args.collect());
            }
            match outcome {
                Err(error) => return (commands, Err(error)),
                Ok(progress) => drop(buffer.drain(..progress.consumed)),
            }
            if requests.len() < commands_max {
                break;
            }
        }
    }
    (commands, Ok(buffer))
}

fn parse(input: &[u8]) -> (Commands, Result<Vec<u8>, ProtocolError>) {
    parse_pieces(std::iter::once(input), &SMALL, usize::MAX)
}

/// Asserts that every cut of `input` in two, and cutting it into equal pieces, changes nothing.
fn assert_cuts_agree(input: &[u8]) {
    let whole = parse(input);
    for cut in 0..=input.len() {
        let (front, back) = input.split_at(cut);
        let halves = parse_pieces([front, back].into_iter(), &SMALL, usize::MAX);
        assert_eq!(halves, whole, "cut at {cut}: {}", input.escape_ascii());
    }
    for len in [1, 2, 3, 7] {
        let pieces = parse_pieces(input.chunks(len), &SMALL, 2);
        assert_eq!(pieces, whole, "pieces of {len}: {}", input.escape_ascii());
    }
}

fn command(args: &[&str]) -> Vec<Vec<u8>> {
    args.iter().map(|arg| arg.as_bytes().to_vec()).collect()
}

#[test]
fn pipelines_cut_anywhere_give_the_same_commands() {
    let value = "v".repeat(120);
    let input = format!(
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$120\r\n{value}\r\nPING\r\n\
         *0\r\n\r\n*-1\r\n  get \"a b\"  \n\
         *2\r\n$3\r\nGET\r\n$0\r\n\r\n*11\r\n{}*1\r\n$4\r\nQUIT\r\n",
        "$2\r\nxy\r\n".repeat(11)
    );
    let expected = vec![
        command(&["SET", "k", &value]),
        command(&["PING"]),
        command(&["get", "a b"]),
        command(&["GET", ""]),
        command(&["xy"; 11]),
        command(&["QUIT"]),
    ];
    assert_eq!(parse(input.as_bytes()), (expected, Ok(Vec::new())));
    assert_cuts_agree(input.as_bytes());
}

#[test]
fn lenience_is_as_in_redis() {
    let cases: &[(&[u8], Commands)] = &[
        (b"*1\rX$2\rYhizz", vec![command(&["hi"])]),
        (b"GET a\nGET b\r\n", vec![command(&["GET", "a"]), command(&["GET", "b"])]),
        (b"\r\n\n \r\n*0\r\n*-7\r\nPING\r\n", vec![command(&["PING"])]),
        (b"$1\r\n", vec![command(&["$1"])]),
    ];
    for (input, commands) in cases {
        assert_eq!(parse(input), (commands.clone(), Ok(Vec::new())), "{}", input.escape_ascii());
        assert_cuts_agree(input);
    }
    for input in [&b"PING\0\r\n"[..], b"*1\0\r\n", b"*1\r\n$2\0\r\nhi\r\n"] {
        assert_eq!(
            parse(input),
            (Vec::new(), Ok(input.to_vec())),
            "a zero byte hides the line end"
        );
    }
}

#[test]
fn violations_have_redis_words() {
    let long = "1".repeat(400);
    let cases: &[(String, &str)] = &[
        ("*\r\n".into(), "invalid multibulk length"),
        ("*01\r\n".into(), "invalid multibulk length"),
        ("*51\r\n".into(), "invalid multibulk length"),
        ("*99999999999999999999\r\n".into(), "invalid multibulk length"),
        (format!("*{long}"), "too big mbulk count string"),
        ("*1\r\n!3\r\n".into(), "expected '$', got '!'"),
        ("*1\r\n\r\n".into(), "expected '$', got ' '"),
        ("*1\r\n\n\r\n".into(), "expected '$', got ' '"),
        ("*1\r\n\x07\r\n".into(), "expected '$', got '\x07'"),
        ("*1\r\n$\r\n".into(), "invalid bulk length"),
        ("*1\r\n$-1\r\n".into(), "invalid bulk length"),
        ("*1\r\n$+1\r\n".into(), "invalid bulk length"),
        ("*1\r\n$1001\r\n".into(), "invalid bulk length"),
        (format!("*1\r\n${long}"), "too big bulk count string"),
        (long.clone(), "too big inline request"),
        (format!("{long}\r\n"), "too big inline request"),
        ("set a \"b\r\n".into(), "unbalanced quotes in request"),
        (
            format!("*3\r\n{}", format!("$900\r\n{}\r\n", "v".repeat(900)).repeat(3)),
            "too big request",
        ),
    ];
    for (input, reason) in cases {
        // What stands before a violation is carried out.
        let input = format!("*1\r\n$4\r\nPING\r\n{input}");
        let (commands, outcome) = parse(input.as_bytes());
        assert_eq!(commands, [command(&["PING"])], "{input:?}");
        let error = outcome.expect_err(&input);
        assert_eq!(error.to_string(), format!("Protocol error: {reason}"));
        assert_cuts_agree(input.as_bytes());
    }
    let (_, outcome) = parse(b"*1\r\n\xff\r\n");
    assert_eq!(outcome.unwrap_err().text(), b"Protocol error: expected '$', got '\xff'");
}

#[test]
fn clients_that_must_authenticate_get_less() {
    let cases = [
        (format!("*11\r\n{}", "$1\r\na\r\n".repeat(11)), "unauthenticated multibulk length"),
        (format!("*1\r\n$16385\r\n{}\r\n", "v".repeat(16385)), "unauthenticated bulk length"),
    ];
    for (input, reason) in cases {
        let mut parser = Parser::new();
        let mut requests = Requests::default();
        let mut bytes = input.into_bytes();
        let limits = ParseLimits::default();
        parser.set_unauthenticated(true);
        let error = parser.parse(&mut bytes, &limits, 1, &mut requests).unwrap_err();
        assert_eq!(error.to_string(), format!("Protocol error: {reason}"));
        let mut parser = Parser::new();
        parser.parse(&mut bytes, &limits, 1, &mut requests).unwrap();
        assert_eq!(requests.len(), 1);
    }
}

#[test]
fn the_caller_learns_how_much_is_missing() {
    let mut parser = Parser::new();
    let mut requests = Requests::default();
    let mut parse = |input: &[u8]| {
        let progress = parser.parse(&mut input.to_vec(), &SMALL, 10, &mut requests).unwrap();
        (progress.consumed, progress.needed)
    };
    assert_eq!(parse(b"PING\r\n*1\r\n$10"), (6, 0));
    assert_eq!(parse(b"*1\r\n$10\r\n012345"), (0, 6));
    assert_eq!(parse(b"*1\r\n$10\r\n0123456789\r"), (0, 1));
    assert_eq!(parse(b"*1\r\n$10\r\n0123456789\r\n"), (21, 0));
    assert_eq!(requests.len(), 2);
}

#[test]
fn a_call_stops_at_its_number_of_commands() {
    let mut parser = Parser::new();
    let mut requests = Requests::default();
    let mut input = b"a\r\nb\r\n*1\r\n$1\r\nc\r\nd".to_vec();
    let progress = parser.parse(&mut input, &SMALL, 2, &mut requests).unwrap();
    assert_eq!((progress.consumed, requests.len()), (6, 2));
    assert!(!parser.is_mid_command());
    // Commands that are there already do not count.
    let progress = parser.parse(&mut input[6..], &SMALL, 2, &mut requests).unwrap();
    assert_eq!((progress.consumed, requests.len()), (11, 3));
    assert!(parser.is_mid_command());
}

#[test]
fn a_request_of_many_arguments_arrives_in_pieces() {
    let count = 500_000;
    let input = format!("*{count}\r\n{}", "$2\r\nab\r\n".repeat(count)).into_bytes();
    let mut parser = Parser::new();
    let mut requests = Requests::default();
    let mut bytes = input.clone();
    for end in (0..input.len()).step_by(1024) {
        let limits = ParseLimits::default();
        let progress = parser.parse(&mut bytes[..end], &limits, 1, &mut requests).unwrap();
        assert_eq!(progress.consumed, 0);
    }
    parser.parse(&mut bytes, &ParseLimits::default(), 1, &mut requests).unwrap();
    assert_eq!(requests.command(0).len(), count);
    assert!(requests.args.iter().all(|arg| arg.of(&bytes) == b"ab"));
    assert!(parser.partial.capacity() <= super::PARTIAL_KEPT_MAX);
}

/// A small generator, so that the cases are the same everywhere and for ever.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    fn bytes(&mut self, len_max: usize, alphabet: &[u8]) -> Vec<u8> {
        (0..self.below(len_max + 1)).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }

    /// A piece of a request stream: mostly right, sometimes almost right, sometimes noise.
    fn fragment(&mut self, into: &mut Vec<u8>) {
        let noise: Vec<u8> = (0..=255).collect();
        match self.below(8) {
            0..3 => {
                let count = 1 + self.below(4);
                into.extend(format!("*{count}\r\n").bytes());
                for _ in 0..count {
                    let value = self.bytes(14, &noise);
                    into.extend(format!("${}\r\n", value.len()).bytes());
                    into.extend(value);
                    into.extend(b"\r\n");
                }
            }
            3 => {
                into.extend(self.bytes(12, b"ab \"'\\x4\t"));
                into.extend(b"\r\n");
            }
            4 => into.extend(format!("*{}\r\n", self.below(60) as i64 - 5).bytes()),
            5 => into.extend(format!("*1\r\n${}\r\n", self.below(1100) as i64 - 5).bytes()),
            6 => into.extend(self.bytes(10, b"*$\r\n0123-x\0")),
            _ => into.extend(self.bytes(6, &noise)),
        }
    }
}

#[test]
fn any_bytes_in_any_pieces_give_the_same() {
    let mut random = Random(0x5eed);
    let mut outcomes = [0usize; 3];
    for _ in 0..200_000 {
        let mut input = Vec::new();
        for _ in 0..1 + random.below(5) {
            random.fragment(&mut input);
        }
        let whole = parse(&input);
        let mut pieces = Vec::new();
        let mut rest = &input[..];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(1 + random.below(rest.len().min(20)));
            pieces.push(piece);
            rest = behind;
        }
        let commands_max = 1 + random.below(3);
        let cut = parse_pieces(pieces.into_iter(), &SMALL, commands_max);
        assert_eq!(cut, whole, "{}", input.escape_ascii());
        match whole.1 {
            Err(_) => outcomes[0] += 1,
            Ok(rest) if rest.is_empty() => outcomes[1] += 1,
            Ok(_) => outcomes[2] += 1,
        }
    }
    // The generator reaches errors, complete and incomplete input alike.
    assert!(outcomes.iter().all(|&count| count > 20_000), "{outcomes:?}");
}
