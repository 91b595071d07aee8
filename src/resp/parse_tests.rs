//! The property: however input is cut into receives, the parser finds the same commands and the same
//! error as in one piece, and those are Redis's.

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
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$120\r\n{value}\r\nPING\r\n*0\r\n\r\n*-1\r\n  get \"a b\"  \n\
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
