//! The comparison as a table and as JSON.

use super::load::Load;
use super::{Bounds, Contestant, Turn};
use crate::figures::{Spread, share, short, whole};
use crate::system;
use crate::table::{Column, Table};
use serde_json::{Value, json};

/// All that was measured.
pub struct Report {
    size: u64,
    load: String,
    table: Table,
    /// Rounds that count.
    turns: Vec<(Contestant, Turn, Bounds)>,
}

impl Report {
    /// Under this load.
    pub fn new(load: &Load) -> Report {
        let columns = [
            Column("round", 7),
            Column("server", 18),
            Column("CPU µs/msg", 10),
            Column("msg/s", 9),
            Column("p50 ms", 7),
            Column("p99 ms", 7),
            Column("others", 6),
        ];
        Report { size: load.size, load: load.describe(), table: Table::new(2, &columns), turns: Vec::new() }
    }

    /// Prints the titles of the rounds.
    pub fn head(&self) {
        self.table.head();
    }

    /// Says who is being measured.
    pub fn measuring(&self, round: u32, contestant: Contestant) {
        self.table.measuring(&format!("round {round}: {}", contestant.name()));
    }

    /// Prints a turn, and keeps it if it counts.
    pub fn turn(&mut self, round: u32, contestant: Contestant, turn: Turn, bounds: Bounds) {
        let label = if round == 0 { "warm-up".into() } else { round.to_string() };
        self.table.row(&[
            label,
            contestant.name().into(),
            short(turn.cpu_us),
            whole(turn.per_second),
            short(turn.p50_ms),
            short(turn.p99_ms),
            share(turn.others, 1.0),
        ]);
        if round > 0 {
            self.turns.push((contestant, turn, bounds));
        }
    }

    fn spread(&self, contestant: Contestant, figure: impl Fn(&Turn, &Bounds) -> f64) -> Spread {
        let turns = self.turns.iter().filter(|turn| turn.0 == contestant);
        Spread::of(&turns.map(|(_, turn, bounds)| figure(turn, bounds)).collect::<Vec<_>>())
    }

    fn bound(&self, figure: impl Fn(&Bounds) -> f64) -> Spread {
        Spread::of(&self.turns.iter().map(|(_, _, bounds)| figure(bounds)).collect::<Vec<_>>())
    }

    /// The least processor time that a form of the leanest program took.
    fn best(&self) -> f64 {
        let forms = Contestant::ALL.into_iter().filter(|contestant| *contestant != Contestant::Ringpost);
        forms.map(|form| self.spread(form, |turn, _| turn.cpu_us).median).fold(f64::INFINITY, f64::min)
    }

    /// The most messages a second that a form of the leanest program took.
    fn fastest(&self) -> f64 {
        let forms = Contestant::ALL.into_iter().filter(|contestant| *contestant != Contestant::Ringpost);
        forms.map(|form| self.spread(form, |turn, _| turn.per_second).median).fold(0.0, f64::max)
    }

    /// How many batches the slowest of a hundred messages waited for, where that is known.
    fn p99_over_batch(&self, contestant: Contestant) -> Option<Spread> {
        let turns = self.turns.iter().filter(|turn| turn.0 == contestant);
        let shares: Option<Vec<f64>> = turns.map(|(_, turn, _)| Some(turn.p99_ms / turn.batch_ms?)).collect();
        shares.filter(|shares| !shares.is_empty()).map(|shares| Spread::of(&shares))
    }

    /// Prints the medians, and the shares of what kernel and disk do.
    pub fn print(&self) {
        let columns = [
            Column("median (least–most)", 19),
            Column("CPU µs/msg", 20),
            Column("÷ best", 6),
            Column("msg/s", 24),
            Column("p50 ms", 19),
            Column("p99 ms", 19),
            Column("of receiving", 12),
            Column("of writing", 10),
            Column("p50 ÷ sync", 10),
            Column("p99 ÷ batch", 11),
        ];
        let table = Table::new(1, &columns);
        println!();
        table.head();
        let best = self.best();
        for contestant in Contestant::ALL {
            let cell = |figure: fn(&Turn) -> f64, form: fn(f64) -> String| {
                let Spread { median, least, most } = self.spread(contestant, |turn, _| figure(turn));
                format!("{} ({}–{})", form(median), form(least), form(most))
            };
            let cpu = self.spread(contestant, |turn, _| turn.cpu_us).median;
            let size = self.size as f64;
            table.row(&[
                contestant.name().into(),
                cell(|turn| turn.cpu_us, short),
                short(cpu / best),
                cell(|turn| turn.per_second, whole),
                cell(|turn| turn.p50_ms, short),
                cell(|turn| turn.p99_ms, short),
                share(self.spread(contestant, |turn, bounds| turn.per_second * size / bounds.received).median, 1.0),
                share(self.spread(contestant, |turn, bounds| turn.per_second * size / bounds.written).median, 1.0),
                short(self.spread(contestant, |turn, bounds| turn.p50_ms * 1000.0 / bounds.sync_us).median),
                self.p99_over_batch(contestant).map_or("-".into(), |spread| short(spread.median)),
            ]);
        }
        println!(
            "\nBeside them, in the same rounds, one thread with one ring and nothing else: received {} MB/s over loopback \
             (of receiving),\nwrote and synced {} MB/s in pieces of 256 KiB (of writing), and 4 KiB in {} µs (p50 ÷ sync).",
            short(self.bound(|bounds| bounds.received).median / 1e6),
            short(self.bound(|bounds| bounds.written).median / 1e6),
            short(self.bound(|bounds| bounds.sync_us).median),
        );
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        let servers = Contestant::ALL.map(|contestant| {
            let spread = |figure: fn(&Turn) -> f64| self.spread(contestant, |turn, _| figure(turn)).json();
            let size = self.size as f64;
            json!({
                "server": contestant.name(),
                "cpu_us_per_message": spread(|turn| turn.cpu_us),
                "cpu_over_best": self.spread(contestant, |turn, _| turn.cpu_us).median / self.best(),
                "messages_per_s": spread(|turn| turn.per_second),
                "p50_ms": spread(|turn| turn.p50_ms),
                "p99_ms": spread(|turn| turn.p99_ms),
                "others": spread(|turn| turn.others),
                "share_of_receiving": self.spread(contestant, |turn, bounds| turn.per_second * size / bounds.received).json(),
                "share_of_writing": self.spread(contestant, |turn, bounds| turn.per_second * size / bounds.written).json(),
                "p50_over_sync": self.spread(contestant, |turn, bounds| turn.p50_ms * 1000.0 / bounds.sync_us).json(),
                "p99_over_batch": self.p99_over_batch(contestant).map(|spread| spread.json()),
            })
        });
        json!({
            "machine": system::describe(),
            "load": self.load,
            "size": self.size,
            "servers": servers,
            "harness": {
                "received_octets_per_s": self.bound(|bounds| bounds.received).json(),
                "written_octets_per_s": self.bound(|bounds| bounds.written).json(),
                "sync_us": self.bound(|bounds| bounds.sync_us).json(),
            },
        })
    }
}

/// Prints what ringpost did under each of several loads: a line a load, medians.
pub fn print_together(reports: &[Report]) {
    let columns = [
        Column("ringpost under", 58),
        Column("CPU µs/msg", 10),
        Column("÷ best", 6),
        Column("msg/s", 8),
        Column("of fastest", 10),
        Column("p50 ms", 7),
        Column("p99 ms", 7),
        Column("p50 ÷ sync", 10),
        Column("p99 ÷ sync", 10),
        Column("p99 ÷ batch", 11),
        Column("others", 6),
    ];
    let table = Table::new(1, &columns);
    table.head();
    for report in reports {
        let median = |figure: fn(&Turn, &Bounds) -> f64| report.spread(Contestant::Ringpost, figure).median;
        let (cpu, rate) = (median(|turn, _| turn.cpu_us), median(|turn, _| turn.per_second));
        table.row(&[
            report.load.clone(),
            short(cpu),
            short(cpu / report.best()),
            whole(rate),
            share(rate, report.fastest()),
            short(median(|turn, _| turn.p50_ms)),
            short(median(|turn, _| turn.p99_ms)),
            short(median(|turn, bounds| turn.p50_ms * 1000.0 / bounds.sync_us)),
            short(median(|turn, bounds| turn.p99_ms * 1000.0 / bounds.sync_us)),
            report.p99_over_batch(Contestant::Ringpost).map_or("-".into(), |spread| short(spread.median)),
            share(median(|turn, _| turn.others), 1.0),
        ]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leanest::Form;

    #[test]
    fn the_best_is_a_form_and_shares_are_of_the_same_round() {
        let load = Load {
            program: "loadtest".into(),
            sessions: 1,
            size: 1000,
            pipelining: false,
            messages_per_connection: 1,
            cpus: Vec::new(),
        };
        let mut report = Report::new(&load);
        let bounds = Bounds { received: 1e6, written: 2e6, sync_us: 100.0 };
        let turn =
            |cpu_us| Turn { cpu_us, per_second: 100.0, p50_ms: 1.0, p99_ms: 2.0, batch_ms: Some(0.5), others: 0.0 };
        for (place, contestant) in Contestant::ALL.into_iter().enumerate() {
            report.turn(0, contestant, turn(1.0), bounds);
            report.turn(1, contestant, turn(50.0 - 10.0 * place as f64), bounds);
        }
        assert_eq!(report.load, "1 sessions, 1,000 B, one command at a time, a message a connection");
        assert_eq!(report.fastest(), 100.0);
        assert_eq!(report.best(), report.spread(Contestant::Leanest(Form::Ring), |turn, _| turn.cpu_us).median);
        let json = report.json();
        let ringpost = &json["servers"][4];
        assert_eq!(ringpost["cpu_over_best"], 0.5);
        assert_eq!(ringpost["share_of_receiving"]["median"], 0.1);
        assert_eq!(ringpost["p50_over_sync"]["median"], 10.0);
        assert_eq!(ringpost["p99_over_batch"]["median"], 4.0);
    }
}
