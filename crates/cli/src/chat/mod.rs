//! `loquat chat`: a conversation in the terminal, with the agent in this process or at an address.

mod client;
mod turn;

use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;

use anyhow::Context as _;
use loquat_server::assemble::assemble;
use loquat_server::auth::AuthConfig;
use loquat_server::config::{Config, Flags};
use loquat_server::host::connections::ConnectionLimits;
use loquat_server::host::listener;
use loquat_server::{app, telemetry};
use rustyline::error::ReadlineError;

use client::Client;
use turn::{Decider, Ended, Screen};

/// Talk to the agent in the terminal.
///
/// Type a message and press Enter; end a line with \ to go on in the next one. Ctrl-C stops an answer, Ctrl-D leaves.
/// In a pipe the whole input is one message: `echo hi | loquat chat`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Talk to a running agent instead of one in this process
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Sign-in token or API key for --url
    #[arg(long, env = "LOQUAT_TOKEN", hide_env_values = true, requires = "url")]
    token: Option<String>,
    /// Go on with this conversation
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Settings file of the agent in this process
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    config: Option<PathBuf>,
}

const HELP: &str = "\
/new            begin a new conversation
/sessions       list the last conversations
/open ID or N   go on with a conversation of that list
/stop           stops an answer: press Ctrl-C while it is written
/help           this text
/quit           leave (also Ctrl-D)
A line that ends with \\ goes on in the next one.";

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let (client, history) = runtime.block_on(connect(&args))?;
    if std::io::stdin().is_terminal() {
        talk(&runtime, &client, args.session, history)
    } else {
        pipe(&runtime, &client, args.session)
    }
}

/// The agent to talk to, and where what is typed is remembered.
#[allow(clippy::print_stderr)]
async fn connect(args: &Args) -> anyhow::Result<(Client, Option<PathBuf>)> {
    if let Some(url) = &args.url {
        return Ok((Client::new(url, args.token.clone())?, None));
    }
    let mut config = Config::load(&Flags { config: args.config.clone(), ..Flags::default() })?;
    if config.log.filter == "info" {
        // Log lines would stand between the lines of the conversation.
        config.log.filter = "error".into();
    }
    // Whoever sits at this terminal can read the store itself; there is nobody to sign in.
    config.auth = AuthConfig::default();
    config.http.host = [127, 0, 0, 1].into();
    telemetry::logs::init(&config.log)?;
    let history = config.folders.data().ok().map(|folder| folder.join("chat-history.txt"));
    let service = assemble(&config)?;
    if let Some(note) = &service.model_note {
        eprintln!("{note}\n");
    }
    let socket = listener::listen(([127, 0, 0, 1], 0).into(), false, false).await?;
    let address = socket.local_addr()?;
    let engine = service.state.engine.clone();
    let router = app::router(service.state);
    let limits = ConnectionLimits::from(&config.limits);
    let (never, nor_now) = (std::future::pending(), std::future::pending());
    tokio::spawn(listener::serve(socket, router, engine, limits, config.http.drain, never, nor_now));
    Ok((Client::new(&format!("http://{address}"), None)?, history))
}

/// One message from a pipe, its answer to standard output.
fn pipe(runtime: &tokio::runtime::Runtime, client: &Client, session: Option<String>) -> anyhow::Result<()> {
    let mut message = String::new();
    std::io::stdin().read_to_string(&mut message).context("cannot read the message")?;
    let session = session.unwrap_or_else(client::new_id);
    let mut screen = Screen::plain();
    let mut decider = Decider::refuse();
    match runtime.block_on(turn::take(client, &session, message.trim_end(), &mut screen, &mut decider))? {
        Ended::Well => Ok(()),
        Ended::Stopped => std::process::exit(130),
    }
}

/// A conversation with a person.
#[allow(clippy::print_stdout, clippy::print_stderr)]
fn talk(
    runtime: &tokio::runtime::Runtime,
    client: &Client,
    session: Option<String>,
    history: Option<PathBuf>,
) -> anyhow::Result<()> {
    let mut editor = rustyline::DefaultEditor::new().context("cannot use the terminal")?;
    if let Some(history) = &history {
        // The first time there is none.
        let _ = editor.load_history(history);
    }
    println!("Talk to the agent; /help lists the commands.");
    let mut session = session.unwrap_or_else(client::new_id);
    let mut listed: Vec<String> = Vec::new();
    while let Some(line) = read(&mut editor)? {
        let (command, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        match command {
            "" => {}
            "/quit" | "/exit" => break,
            "/help" => println!("{HELP}"),
            "/stop" => println!("Nothing is being written. Press Ctrl-C while an answer is."),
            "/new" => {
                session = client::new_id();
                println!("A new conversation.");
            }
            "/sessions" => match runtime.block_on(client.sessions()) {
                Ok(sessions) if sessions.is_empty() => println!("There are no conversations yet."),
                Ok(sessions) => {
                    for (n, one) in sessions.iter().enumerate() {
                        println!(
                            "{:>3}  {}  {:>4} messages  {}",
                            n + 1,
                            one.updated_at,
                            one.message_count,
                            one.title
                        );
                    }
                    listed = sessions.into_iter().map(|one| one.session_id).collect();
                }
                Err(error) => eprintln!("{error:#}"),
            },
            "/open" => {
                let chosen =
                    rest.trim().parse::<usize>().ok().and_then(|n| listed.get(n.wrapping_sub(1)).cloned());
                let id = chosen.unwrap_or_else(|| rest.trim().to_owned());
                match runtime.block_on(client.open(&id)) {
                    Ok(said) => {
                        session = id;
                        print!("{said}");
                    }
                    Err(error) => eprintln!("{error:#}"),
                }
            }
            command if command.starts_with('/') => {
                println!("There is no command {command}. /help lists them.");
            }
            _ => {
                let mut screen = Screen::terminal();
                let mut decider = Decider::ask(&mut editor);
                match runtime.block_on(turn::take(client, &session, &line, &mut screen, &mut decider)) {
                    Ok(Ended::Well) => {}
                    Ok(Ended::Stopped) => println!("[stopped]"),
                    Err(error) => eprintln!("\n{error:#}"),
                }
                println!();
            }
        }
    }
    if let Some(history) = &history {
        if let Some(folder) = history.parent() {
            // Without the folder the next line says what is wrong.
            let _ = std::fs::create_dir_all(folder);
        }
        editor.save_history(history).context("cannot keep what was typed")?;
    }
    Ok(())
}

/// A line, with the ones that continue it. `None` at the end of the input.
fn read(editor: &mut rustyline::DefaultEditor) -> anyhow::Result<Option<String>> {
    let mut whole = String::new();
    loop {
        match editor.readline(if whole.is_empty() { "> " } else { "… " }) {
            Ok(line) => match line.strip_suffix('\\') {
                Some(part) => {
                    whole.push_str(part);
                    whole.push('\n');
                }
                None => {
                    whole.push_str(&line);
                    if !whole.trim().is_empty() {
                        editor.add_history_entry(&whole)?;
                    }
                    return Ok(Some(whole));
                }
            },
            // Ctrl-C throws away what was typed.
            Err(ReadlineError::Interrupted) => whole.clear(),
            Err(ReadlineError::Eof) => return Ok(None),
            Err(error) => return Err(error).context("cannot read from the terminal"),
        }
    }
}
