//! `HELP` of every command that has subcommands, out of the table.

use super::table;
use super::{Ctx, Outcome};
use crate::error::Stop;

/// Answers with one line about each subcommand of the command named.
pub fn help(ctx: &mut Ctx<'_, '_>) -> Outcome {
    let name = ctx.arg(0);
    let container = table::by_name(name).expect("its subcommand was found");
    let upper = container.name.to_uppercase();
    let alone = container.accepts(1);
    ctx.reply.array(1 + 2 * (container.subcommands.len() + usize::from(alone)));
    ctx.reply.simple(&format!("{upper} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    if alone {
        ctx.reply.simple("(no subcommand)");
        ctx.reply.simple(&format!("    {}", container.summary));
    }
    for sub in container.subcommands {
        ctx.reply.simple(&sub.name[container.name.len() + 1..].to_uppercase());
        ctx.reply.simple(&format!("    {}", sub.summary));
    }
    Ok(())
}

/// The error of a subcommand whose arguments the table let pass.
pub fn misused(ctx: &Ctx<'_, '_>) -> Stop {
    let (container, name) = (ctx.arg(0).to_ascii_uppercase(), ctx.arg(1));
    let (container, name) = (String::from_utf8_lossy(&container), String::from_utf8_lossy(name));
    format!(
        "ERR unknown subcommand or wrong number of arguments for '{name}'. Try {container} HELP."
    )
    .into()
}
