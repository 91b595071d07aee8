//! Any bytes: the parser must not panic, its ranges must lie in its input, and how the input is cut
//! into receives must not change what it finds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringstone::resp::{ParseLimits, Parser, ProtocolError, Requests};

type Commands = Vec<Vec<Vec<u8>>>;

const LIMITS: ParseLimits = ParseLimits {
    value_bytes_max: 200,
    request_bytes_max: 400,
    arguments_max: 20,
    inline_bytes_max: 100,
};

/// Commands, and the bytes left or the violation, when every receive brings `piece_len` bytes.
fn parse(
    input: &[u8],
    piece_len: usize,
    commands_max: usize,
) -> (Commands, Result<Vec<u8>, ProtocolError>) {
    let mut parser = Parser::new();
    let mut requests = Requests::default();
    let mut commands = Commands::new();
    let mut buffer = Vec::new();
    for piece in input.chunks(piece_len) {
        buffer.extend_from_slice(piece);
        loop {
            requests.clear();
            let outcome = parser.parse(&mut buffer, &LIMITS, commands_max, &mut requests);
            for index in 0..requests.len() {
                let args = requests.command(index);
                assert!(!args.is_empty() && args.len() <= LIMITS.inline_bytes_max);
                commands.push(args.iter().map(|arg| arg.of(&buffer).to_vec()).collect());
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

fuzz_target!(|input: &[u8]| {
    let Some((&first, input)) = input.split_first() else { return };
    let whole = parse(input, usize::MAX, usize::MAX);
    let pieces = parse(input, 1 + usize::from(first) % 16, 1 + usize::from(first) / 64);
    assert_eq!(whole, pieces);
});
