//! `loquat runs`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use loquat_agent::event::Event;
use loquat_agent::message::ToolContent;
use loquat_agent::replay::replay;
use loquat_server::assemble::open_sessions;
use loquat_server::auth::Principal;
use loquat_server::config::{Config, Flags};
use loquat_server::ids::RunId;
use loquat_server::runs::journal::Stored;

/// Look at the log of a run, or run it again.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum Command {
    /// Print what happened in a run, as a time line; what was said only if asked for
    Show {
        #[command(flatten)]
        which: Which,
        /// Print what the model and the tools said
        #[arg(long)]
        content: bool,
    },
    /// Run it again with a model and tools that say what its log says, and compare every event
    Replay {
        #[command(flatten)]
        which: Which,
    },
}

/// Which run.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Which {
    /// The run's id, or a file that `loquat export --run` wrote
    run: String,
    #[command(flatten)]
    whose: Whose,
}

/// Whose store, and whose part of it.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Whose {
    /// Whose it is, where people sign in
    #[arg(long, value_name = "ID")]
    pub(crate) user: Option<String>,
    /// Settings file [default: loquat.toml, if there is one; environment: LOQUAT_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Whose {
    pub(crate) fn config(&self) -> anyhow::Result<Config> {
        Ok(Config::load(&Flags { config: self.config.clone(), ..Flags::default() })?)
    }

    pub(crate) fn principal(&self) -> Principal {
        self.user.as_deref().map_or_else(Principal::anonymous, Principal::user)
    }
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(async {
        match args.command {
            Command::Show { which, content } => show(&find(&which.run, &which.whose).await?, content),
            Command::Replay { which } => again(&find(&which.run, &which.whose).await?).await,
        }
    })
}

/// The log of a run, from a file or from the store.
pub(crate) async fn find(run: &str, whose: &Whose) -> anyhow::Result<Stored> {
    let path = Path::new(run);
    if path.is_file() {
        let mut stored = Stored::default();
        stored.read(&std::fs::read(path).with_context(|| format!("cannot read {run}"))?);
        if stored.info.is_none() {
            bail!("{run} is not the log of a run");
        }
        return Ok(stored);
    }
    let Ok(id) = RunId::parse(run) else { bail!("`{run}` is neither a run's id nor a file") };
    let Some(sessions) = open_sessions(&whose.config()?)? else { bail!("this agent keeps no runs") };
    match sessions.journals.read(whose.principal().owner(), &id).await? {
        Some(stored) => Ok(stored),
        None if whose.user.is_none() => {
            bail!("there is no run `{run}`; where people sign in, say whose it is with --user")
        }
        None => bail!("there is no such run of this user"),
    }
}

// What these commands print is what they are for.
#[allow(clippy::print_stdout)]
fn show(stored: &Stored, content: bool) -> anyhow::Result<()> {
    let info = stored.info.as_ref().context("the log has no beginning")?;
    println!("Run      {}", info.id);
    println!("Session  {}", info.session_id);
    println!("Asked    {}", info.created_at.strftime("%Y-%m-%d %H:%M:%S UTC"));
    if let Some(before) = &info.continues {
        println!("Goes on  {before}");
    }
    println!();
    let mut at = 0;
    while let Some(event) = stored.events.get(at) {
        // Pieces of one text are one line.
        let same = stored.events[at..].iter().take_while(|next| {
            pieces(event) && std::mem::discriminant(*next) == std::mem::discriminant(event)
        });
        let count = same.count().max(1);
        let line = line(&stored.events[at..at + count], content);
        let ms = stored.times.get(at).copied().unwrap_or_default();
        println!("{:>6}.{:03} s {:>6}  {line}", ms / 1_000, ms % 1_000, at + 1);
        at += count;
    }
    if !stored.events.last().is_some_and(Event::is_terminal) {
        println!("\nThe log has no end: the run is live, or its process died.");
    }
    Ok(())
}

/// Whether events of this kind come in pieces.
fn pieces(event: &Event) -> bool {
    matches!(event, Event::Text { .. } | Event::Reasoning { .. } | Event::ToolInput { .. })
}

/// One line about neighbouring events of one kind.
fn line(events: &[Event], content: bool) -> String {
    let text = |pieces: Vec<&str>| {
        let said = pieces.concat();
        let mut line = format!("{} pieces, {} characters", pieces.len(), said.chars().count());
        if content {
            // Writing to a string cannot fail.
            let _ = write!(line, ": {}", said.replace('\n', "\n                   "));
        }
        line
    };
    let of = |pick: fn(&Event) -> Option<&str>| text(events.iter().filter_map(pick).collect());
    let told = |value: String| if content { format!(": {value}") } else { String::new() };
    match &events[0] {
        Event::Started { model } => format!("started    {model}"),
        Event::Text { .. } => format!(
            "text       {}",
            of(|event| match event {
                Event::Text { text } => Some(text),
                _ => None,
            })
        ),
        Event::Reasoning { .. } => format!(
            "reasoning  {}",
            of(|event| match event {
                Event::Reasoning { text, .. } => Some(text),
                _ => None,
            })
        ),
        Event::ToolStart { id, name } => format!("tool       {name} ({id})"),
        Event::ToolInput { .. } => format!(
            "input      {}",
            of(|event| match event {
                Event::ToolInput { delta, .. } => Some(delta),
                _ => None,
            })
        ),
        Event::ToolCall { id, name, input, .. } => {
            format!("call       {name} ({id}){}", told(input.to_string()))
        }
        Event::ToolProgress { id, progress } => {
            format!("progress   ({id}){}", told(progress.message.clone().unwrap_or_default()))
        }
        Event::ToolResult { id, name, content: blocks, is_error, duration_ms, .. } => {
            let how = if *is_error { "failed" } else { "answered" };
            format!("result     {name} ({id}) {how} in {duration_ms} ms{}", told(words(blocks)))
        }
        Event::ApprovalRequested { id, name, input, .. } => {
            format!("approval   {name} ({id}) waits for consent{}", told(input.to_string()))
        }
        Event::ClientCall { id, name, input } => {
            format!("client     {name} ({id}) waits for the client{}", told(input.to_string()))
        }
        Event::Custom { name, data } => format!("custom     {name}{}", told(data.to_string())),
        Event::Reset { reason } => format!("reset      {reason}"),
        Event::Usage { step, model, usage, cost_usd, .. } => {
            let cost = cost_usd.map(|usd| format!(", {usd} USD")).unwrap_or_default();
            let cached = usage.cache_read_tokens;
            format!(
                "usage      call {step} of {model}: {} in, {} out, {cached} cached{cost}",
                usage.input_tokens, usage.output_tokens
            )
        }
        Event::Finished { outcome } => format!("finished   {}", outcome.as_str()),
        Event::Failed { error, code, .. } => format!("failed     {code}: {error}"),
    }
}

fn words(blocks: &[ToolContent]) -> String {
    let parts = blocks.iter().map(|block| match block {
        ToolContent::Text(text) => text.clone(),
        ToolContent::Json(value) => value.to_string(),
        _ => "(not text)".to_owned(),
    });
    parts.collect::<Vec<_>>().join("\n")
}

#[allow(clippy::print_stdout)]
async fn again(stored: &Stored) -> anyhow::Result<()> {
    let info = stored.info.as_ref().context("the log has no beginning")?;
    if stored.events.is_empty() {
        bail!("the log has no events");
    }
    let replay = replay(&stored.events, info.continues.is_some()).await;
    let Some(place) = replay.first_difference(&stored.events) else {
        println!("{} events, all the same.", replay.comparable);
        if replay.comparable < stored.events.len() {
            println!(
                "The last one was added by the server, not by the run: {}",
                line(&stored.events[replay.comparable..], true)
            );
        }
        return Ok(());
    };
    let told = |events: &[Event]| {
        events.get(place).map_or_else(|| "nothing".into(), |e| line(std::slice::from_ref(e), true))
    };
    println!("Event {} of {} is another this time.", place + 1, stored.events.len());
    println!("  then  {}", told(&stored.events));
    println!("  now   {}", told(&replay.events));
    bail!("the run is not the same")
}
