//! `loquat-bench load`: keeps a server busy that somebody else started, for a profiler that looks at it meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::client::Target;
use crate::measure::{reference, throughput};
use crate::systems::System;
use crate::wire::Form;

/// Arguments of `loquat-bench load`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server: Loquat, or a translating pass-through.
    #[arg(long)]
    to: SocketAddr,
    /// The mock model server behind it, which says what the text has to be.
    #[arg(long)]
    mock: SocketAddr,
    /// Tokens of an answer.
    #[arg(long, default_value_t = 200)]
    tokens: usize,
    /// Milliseconds between two tokens.
    #[arg(long, default_value_t = 0)]
    delay: u32,
    /// Answers at a time.
    #[arg(long, default_value_t = 10)]
    streams: usize,
    /// For how many seconds.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
}

/// Asks again and again, checks every byte of text, and prints how many answers came.
#[allow(clippy::print_stdout)]
pub async fn run(args: Args) -> Result<()> {
    let target = Target { addr: args.to, form: Form::Sse, direct: false };
    let words: Arc<str> = format!("tokens={} delay={}ms", args.tokens, args.delay).into();
    let expected = reference(System::Direct.target(args.mock), &words).await?;
    let time = Duration::from_secs_f64(args.seconds);
    let answers = throughput::load(target, args.streams, &words, &expected, time).await?;
    println!("{answers} answers, {} tokens", answers * args.tokens);
    Ok(())
}
