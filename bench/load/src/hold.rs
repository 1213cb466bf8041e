//! Loads that hold connections open: idle readers, and readers that stop reading.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use crate::args::Args;
use crate::clock::{now_ns, ns};
use crate::conn::{Conn, EpollSet, SCRATCH_BYTES};
use crate::message::Form;
use crate::reader::{hello, Decoder, Kind};
use crate::report::Line;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Reads and drops whatever comes.
    Drain,
    /// Reads the head, then never again.
    Never,
}

/// Opens `--readers` readers, prints `{"ready":true,…}`, and returns when stdin ends.
pub fn run(args: &Args, kind: Kind, behaviour: Behaviour) -> Result<String, String> {
    let count: usize = args.number("--readers", if behaviour == Behaviour::Never { 1 } else { 1000 })?;
    let (addr, topic) = (args.addr()?, args.text("--topic", "t"));
    let form = Form::new(kind.is_text(), args.number("--size", 128)?)?;
    let mut set = EpollSet::new()?;
    let mut readers = Vec::new();
    for index in 0..count {
        let mut conn = Conn::open(addr, &set, index)?;
        hello(kind, args.text("--addr", ""), topic, index, conn.out());
        conn.flush()?;
        readers.push((conn, Decoder::new(kind, topic, form.clone())));
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let (mut scratch, mut happened, mut is_told) = (vec![0; SCRATCH_BYTES], Vec::new(), false);
    let (end, mut delivered) = (now_ns() + ns(20.0), 0_u64);
    while !is_over.load(Ordering::Relaxed) {
        set.wait(50, &mut happened)?;
        for event in happened.iter().filter(|event| event.is_readable) {
            let (conn, decoder) = &mut readers[event.token];
            if behaviour == Behaviour::Never && decoder.is_ready {
                continue;
            }
            let mut out = Vec::new();
            conn.receive(&mut scratch, |data| {
                decoder.feed(data, &mut out, &mut |_| {
                    delivered += 1;
                    Ok(())
                })
            })?;
            conn.out().extend_from_slice(&out);
            conn.flush()?;
        }
        if !is_told && readers.iter().all(|(_, decoder)| decoder.is_ready) {
            println!("{{\"ready\":true,\"readers\":{count}}}");
            is_told = true;
            let flag = Arc::clone(&is_over);
            std::thread::spawn(move || {
                // Whatever ends stdin, an error included, ends the hold.
                let _ = std::io::stdin().read_to_end(&mut Vec::new());
                flag.store(true, Ordering::Relaxed);
            });
        }
        if !is_told && now_ns() > end {
            return Err("not every reader was answered within 20 s".to_owned());
        }
    }
    let mut line = Line::new(if behaviour == Behaviour::Drain {
        "idle"
    } else {
        "stall"
    });
    line.count("readers", count as u64);
    line.count("delivered", delivered);
    Ok(line.end())
}
