//! `sprawl-load`: a one-thread load generator for the node and for the systems it is compared with.
//!
//! One process, one epoll loop, one core. Publish loads (`publish.rs`) repeat a prepared unit of bytes and count
//! answers; delivery loads (`pubsub.rs`) number every message, stamp it with the time it was *due* and check order,
//! content and count at each reader; holding loads (`hold.rs`) open connections and keep them while somebody else
//! looks at memory. Each prints one JSON line. How to measure with it: docs/design/bench.md.

mod args;
mod clock;
mod conn;
mod hold;
mod http;
mod message;
mod order;
mod publish;
mod pubsub;
mod reader;
mod record_batch;
mod report;
mod unit;
mod wire;

use args::Args;

const USAGE: &str = "\
sprawl-load COMMAND --addr HOST:PORT [options]        one JSON line on stdout; exit 1 when the load failed

Publish, closed loop (a prepared unit again and again, window per connection by answers):
  http-post     --path P --body raw|json-publish|constant-file [--file F] [--content-type T] [--pipeline K]
                [--batch 100 --form binary|json|ndjson] [--rate R: open loop, scheduled times]
                [--messages N: stop after N] (`{n}` in --path is a running number)
  nats-pub      --batch 100 --window 1000        one PING per batch ends it
  jetstream-pub --batch 100 --window 1000        acks counted on an inbox per connection
  redis-publish, redis-xadd  --batch 100 --window 1000
  mqtt-pub      --qos 0|1 --batch 100 --window 1000

Delivery:
  pubsub        --kind KIND [--readers N] [--publish raw|batch] [--batch B] [--window W per connection]
                [--in-flight K: at most K undelivered messages] [--rate R: open loop]
                [--messages N --passes K: K fresh topics of N messages]
     KIND: sprawl-binary sprawl-sse sprawl-ws nats redis-pubsub redis-stream nchan-sse nchan-ws mqtt
  million       --messages 1000000 [--publish raw|batch]   one SSE and one binary reader of one topic
  idle          --kind KIND --readers N    (sse-idle: kind sprawl-sse) open, print, hold until stdin ends
  stall         --kind KIND --readers N    the same, and never read again after the head

Everywhere: --connections N (publishers) --duration S --warmup S --size BYTES --topic T --deadline S --json
";

fn run() -> Result<String, String> {
    let mut given = std::env::args().skip(1);
    let command = match given.next() {
        Some(word) if word != "-h" && word != "--help" => word,
        _ => {
            print!("{USAGE}");
            return Ok(String::new());
        }
    };
    let args = Args::parse(given)?;
    match command.as_str() {
        "http-post" | "nats-pub" | "jetstream-pub" | "redis-publish" | "redis-xadd" | "mqtt-pub" => {
            publish::run(&command, &args)
        }
        "pubsub" => pubsub::run(&args, &[(args.kind("--kind")?, args.number("--readers", 1)?)]),
        "million" => pubsub::run(
            &args,
            &[(reader::Kind::SprawlSse, 1), (reader::Kind::SprawlBinary, 1)],
        ),
        "idle" => hold::run(&args, args.kind("--kind")?, hold::Behaviour::Drain),
        "sse-idle" => hold::run(&args, reader::Kind::SprawlSse, hold::Behaviour::Drain),
        "stall" => hold::run(
            &args,
            args.kind_or("--kind", reader::Kind::SprawlSse)?,
            hold::Behaviour::Never,
        ),
        other => Err(format!("unknown command {other}; see sprawl-load --help")),
    }
}

fn main() {
    match run() {
        Ok(line) if line.is_empty() => {}
        Ok(line) => println!("{line}"),
        Err(reason) => {
            eprintln!("sprawl-load: {reason}");
            std::process::exit(1);
        }
    }
}
