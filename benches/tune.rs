//! What each policy costs on the generated traces, the median of several seeds: `cargo bench --bench tune`.
//!
//! Nothing is timed here: the table is the result.

use resident::residency::tune::generate::{SHAPES, generate};
use resident::residency::tune::policies;
use resident::residency::tune::policy::Rule;
use resident::residency::tune::replay::{Total, total};

const SEEDS: u64 = 21;

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

#[expect(clippy::print_stdout, reason = "the table is what it is run for")]
fn main() {
    println!("median of {SEEDS} seeds, four weeks each\n");
    println!("| shape | policy | uses | cold starts | GiB·h held | of it for nothing |");
    println!("|---|---|---:|---:|---:|---:|");
    for shape in SHAPES {
        let traces: Vec<_> = (1..=SEEDS).map(|seed| generate(shape, seed)).collect();
        for policy in policies(Rule::default(), None) {
            let totals: Vec<Total> = traces.iter().map(|traces| total(traces, policy)).collect();
            let of = |figure: fn(&Total) -> f64| median(totals.iter().map(figure).collect());
            println!(
                "| {} | {} | {:.0} | {:.0} | {:.0} | {:.0} |",
                shape.word(),
                policy,
                of(|total| f64::from(total.uses)),
                of(|total| f64::from(total.loads)),
                of(|total| total.held),
                of(|total| total.wasted),
            );
        }
    }
}
