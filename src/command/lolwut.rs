//! `LOLWUT`: a ring of stones, a different one every time.

use super::{Ctx, Outcome};

/// Columns and rows of the picture; a character is twice as high as it is wide.
const WIDTH: usize = 62;
const HEIGHT: usize = 25;
/// From the darkest stone to the lightest.
const SHADES: &[u8] = b"@#%*+=";
const STONES: u64 = 14;

pub(super) fn lolwut(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let mut picture = vec![[b' '; WIDTH]; HEIGHT];
    let turn = fraction(ctx.view.random());
    let stones = STONES + ctx.view.random() % 7;
    for stone in 0..stones {
        let wobble = fraction(ctx.view.random()) * 0.25;
        let angle = (turn + (stone as f64 + wobble) / stones as f64) * std::f64::consts::TAU;
        let radius = 1.1 + fraction(ctx.view.random()) * 0.9;
        let shade = SHADES[(ctx.view.random() % SHADES.len() as u64) as usize];
        lay(&mut picture, (angle.cos() * 10.0, angle.sin() * 10.0), radius, shade);
    }
    let mut text = Vec::with_capacity(WIDTH * HEIGHT);
    for row in &picture {
        let end = row.iter().rposition(|&cell| cell != b' ').map_or(0, |last| last + 1);
        text.extend_from_slice(&row[..end]);
        text.push(b'\n');
    }
    text.extend_from_slice(concat!("ringstone ver. ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
    ctx.reply.verbatim(&text, *b"txt");
    Ok(())
}

fn fraction(random: u64) -> f64 {
    (random >> 11) as f64 / (1u64 << 53) as f64
}

/// Draws a stone whose lower right side lies in the shade.
fn lay(picture: &mut [[u8; WIDTH]], (x, y): (f64, f64), radius: f64, shade: u8) {
    for (row, cells) in picture.iter_mut().enumerate() {
        for (column, cell) in cells.iter_mut().enumerate() {
            let right = (column as f64 - WIDTH as f64 / 2.0) / 2.0 - x;
            let down = row as f64 - HEIGHT as f64 / 2.0 - y;
            let distance = right.hypot(down);
            if distance <= radius {
                *cell = if right + down > radius * 0.7 { b'.' } else { shade };
            }
        }
    }
}
