//! The figures of a comparison: a row a turn, then medians with least and most, and ratios.

use serde_json::{Map, Value, json};

/// What one server did in one round.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Messages a second.
    pub rate: f64,
    /// Processor seconds of the server for 10,000 messages.
    pub cpu: f64,
    /// Seconds for which the machine's processors were busy for 10,000 messages, the load left out.
    pub busy: f64,
    /// Dot to 250, in milliseconds.
    pub p50: f64,
    /// The same.
    pub p99: f64,
    /// The part of the machine that neither server nor load used, the hypervisor's steal included.
    pub others: f64,
    /// How the processor time was counted.
    pub method: String,
    /// All figures of the load, and what else there is to know.
    pub more: Value,
}

type Column = (&'static str, &'static str, usize, fn(&Turn) -> f64);

const COLUMNS: [Column; 6] = [
    ("messages_per_s", "msg/s", 0, |turn| turn.rate),
    ("cpu_s_per_10k", "CPU s/10k", 3, |turn| turn.cpu),
    ("busy_s_per_10k", "busy s/10k", 3, |turn| turn.busy),
    ("p50_ms", "p50 ms", 2, |turn| turn.p50),
    ("p99_ms", "p99 ms", 2, |turn| turn.p99),
    ("others", "others", 2, |turn| turn.others),
];

/// The line above the rows.
pub fn head() -> String {
    row_of(["round", "server"], COLUMNS.map(|(_, title, ..)| title.to_string()))
}

/// A turn's row.
pub fn row(round: usize, name: &str, turn: &Turn) -> String {
    let label = if round == 0 { "0 (warm-up)".to_string() } else { round.to_string() };
    row_of([&label, name], COLUMNS.map(|(_, _, digits, of)| format!("{:.digits$}", of(turn))))
}

/// Median, least and most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

/// Of one value or more.
fn spread(values: impl Iterator<Item = f64>) -> Spread {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let median =
        if values.len().is_multiple_of(2) { (values[middle - 1] + values[middle]) / 2.0 } else { values[middle] };
    Spread { median, least: values[0], most: values[values.len() - 1] }
}

/// All turns of a server by round; the first round only warms up.
pub struct Results {
    /// Its name.
    pub name: &'static str,
    /// Its turns.
    pub turns: Vec<Turn>,
}

impl Results {
    fn spreads(&self) -> [Spread; COLUMNS.len()] {
        COLUMNS.map(|(.., of)| spread(self.turns.iter().skip(1).map(of)))
    }
}

/// The summary below the rows; ratios are ringpost's median over each other's.
pub fn summary(results: &[Results]) -> String {
    let mut lines = vec![head()];
    for result in results {
        let cells = COLUMNS.iter().zip(result.spreads()).map(|((_, _, digits, _), spread)| {
            let Spread { median, least, most } = spread;
            format!("{median:.digits$} ({least:.digits$}-{most:.digits$})")
        });
        lines.push(row_of(["median", result.name], cells.collect::<Vec<_>>().try_into().unwrap_or_default()));
    }
    for (other, ratios) in ratios(results) {
        let cells = ratios.map(|ratio| ratio.map_or(String::new(), |ratio| format!("{ratio:.3}")));
        lines.push(row_of(["ringpost over", other], cells));
    }
    for result in results {
        let method = result.turns.last().map_or("", |turn| &turn.method);
        lines.push(format!("CPU of {} by {method}", result.name));
    }
    lines.join("\n")
}

/// ringpost's medians over those of each other server; none of what says nothing about a server.
fn ratios(results: &[Results]) -> Vec<(&'static str, [Option<f64>; COLUMNS.len()])> {
    let Some(ringpost) = results.iter().find(|result| result.name == "ringpost") else { return Vec::new() };
    let mine = ringpost.spreads();
    let others = results.iter().filter(|result| result.name != "ringpost");
    let ratio = |theirs: [Spread; COLUMNS.len()]| {
        std::array::from_fn(|at| {
            let says_something = COLUMNS[at].0 != "others" && theirs[at].median > 0.0;
            says_something.then(|| mine[at].median / theirs[at].median)
        })
    };
    others.map(|other| (other.name, ratio(other.spreads()))).collect()
}

/// Everything for a program.
pub fn json(results: &[Results]) -> Value {
    let of_turn = |turn: &Turn| {
        let mut value: Map<String, Value> =
            COLUMNS.iter().map(|(key, .., of)| ((*key).to_string(), json!(of(turn)))).collect();
        value.insert("cpu_method".into(), json!(turn.method));
        value.insert("more".into(), turn.more.clone());
        Value::Object(value)
    };
    let mut rounds = Map::new();
    let mut medians = Map::new();
    for result in results {
        rounds.insert(result.name.into(), result.turns.iter().map(of_turn).collect());
        let spreads = COLUMNS.iter().zip(result.spreads()).map(|((key, ..), spread)| {
            let Spread { median, least, most } = spread;
            ((*key).to_string(), json!({ "median": median, "least": least, "most": most }))
        });
        medians.insert(result.name.into(), Value::Object(spreads.collect()));
    }
    let ratios = ratios(results).into_iter().map(|(other, ratios)| {
        let cells =
            COLUMNS.iter().zip(ratios).filter_map(|((key, ..), ratio)| Some(((*key).to_string(), json!(ratio?))));
        (other.to_string(), Value::Object(cells.collect()))
    });
    json!({ "rounds": rounds, "summary": medians, "ratios": Value::Object(ratios.collect()) })
}

fn row_of(labels: [&str; 2], cells: [String; COLUMNS.len()]) -> String {
    let cells: String = cells.iter().map(|cell| format!("{cell:>26}")).collect();
    format!("{:<14}{:<11}{cells}", labels[0], labels[1]).trim_end().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(rate: f64) -> Turn {
        let (method, more) = ("counting".into(), Value::Null);
        Turn { rate, cpu: 10.0 / rate, busy: 1.0, p50: 1.0, p99: 2.0, others: 0.0, method, more }
    }

    #[test]
    fn the_first_round_is_not_in_the_summary_and_ratios_are_of_medians() {
        let of = |name, rates: [f64; 4]| Results { name, turns: rates.map(turn).to_vec() };
        let results = [of("postfix", [1.0, 100.0, 300.0, 200.0]), of("ringpost", [1.0, 2000.0, 6000.0, 4000.0])];
        let value = json(&results);
        assert_eq!(
            value["summary"]["postfix"]["messages_per_s"],
            json!({ "median": 200.0, "least": 100.0, "most": 300.0 })
        );
        assert_eq!(value["ratios"]["postfix"]["messages_per_s"], 20.0);
        assert!(value["ratios"]["postfix"].get("others").is_none());
        assert_eq!(value["rounds"]["ringpost"].as_array().unwrap().len(), 4);
        let text = summary(&results);
        assert!(
            text.contains("200 (100-300)") && text.contains("20.000") && text.contains("CPU of ringpost by counting"),
            "{text}"
        );
        assert_eq!(spread([1.0, 4.0].into_iter()), Spread { median: 2.5, least: 1.0, most: 4.0 });
    }
}
