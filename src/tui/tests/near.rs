//! How near a model's files are: the map and the fading of them in the details.

use crate::residency::bytes::{Bytes, GIB};
use crate::residency::map::{CELLS, Map};
use crate::residency::snapshot::{Blob, Snapshot};
use crate::residency::tier::Cached;
use crate::tui::fixture::{app, picture, press, usual};

/// A model of two files: the first half of the weights is in RAM and one stretch of it is broken up; nothing is known
/// of the projector.
fn mapped() -> Snapshot {
    let mut snapshot = usual();
    let model = &mut snapshot.servers[0].models[2];
    let cells = (0..CELLS as u64).map(|cell| (if cell == 20 { 3 } else { 4 * u64::from(cell < 32) }, 4));
    let file = |role, size, cached, map| Blob {
        digest: "sha256:c0ffee".into(),
        role,
        size: Bytes(size),
        path: Some("/models/blobs/sha256-c0ffee".into()),
        cached,
        map,
    };
    model.blobs = vec![
        file("weights", 8 * GIB, Cached::Exact(Bytes(4 * GIB)), Some(Map::of(cells))),
        file("projector", GIB, Cached::Unread, None),
    ];
    model.ram_history = [100, 100, 99, 90, 71, 55, 40, 26, 12, 0, 0, 62].into();
    snapshot
}

/// The lines of the details that begin with these words, at that width of the screen.
fn details(snapshot: Snapshot, width: u16, words: &[&str]) -> Vec<String> {
    let mut app = app(snapshot);
    press(&mut app, "j j tab");
    let shown = picture(&app, width, 40);
    let starts = |line: &&str| words.iter().any(|word| line.trim_start().starts_with(word));
    shown.lines().filter(starts).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn the_details_show_which_parts_of_the_files_are_in_ram_and_how_that_faded() {
    insta::assert_snapshot!(details(mapped(), 80, &["RAM  ", "map", "RAM was"])[1..].join("\n"), @r"
    RAM        62 % of its files   counted by the kernel
    map        ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▄▄▒▒▒▒▒▒▒▒▒▒▄░░░░░░░░░░░░░░░░░░░░░░░░░░░░░????????
    RAM was    ██▇▇▅▄▃▂▁▁▁▅
    ");
    insta::assert_snapshot!(details(mapped(), 40, &["map", "RAM was"]).join("\n"), @r"
    map        ▒▒▒▒▒▒▒▄▄▒▒▒▄░░░░░░░░░░░░???
    RAM was    ██▇▇▅▄▃▂▁▁▁▅
    ");
    let mut long = mapped();
    long.servers[0].models[2].ram_history = (41..=100).collect();
    insta::assert_snapshot!(details(long, 40, &["RAM was"])[0], @"RAM was    ▆▆▆▆▆▆▆▆▆▆▆▆▆▇▇▇▇▇▇▇▇▇▇▇▇▇▇█");
}

#[test]
fn a_sampled_map_is_marked_and_an_unread_one_is_not_drawn() {
    let mut sampled = mapped();
    let model = &mut sampled.servers[0].models[2];
    model.cached = Cached::Sampled(Bytes(4 * GIB));
    model.blobs[0].cached = Cached::Sampled(Bytes(4 * GIB));
    insta::assert_snapshot!(details(sampled, 60, &["map", "RAM was"]).join("\n"), @r"
    map        ~▒▒▒▒▒▒▒▒▒▒▒▒▒▄▒▒▒▒▒▒▄░░░░░░░░░░░░░░░░░░░░░?????
    RAM was    ~██▇▇▅▄▃▂▁▁▁▅
    ");
    let mut unread = mapped();
    let model = &mut unread.servers[0].models[2];
    model.blobs[0].map = None;
    model.ram_history = [].into();
    assert_eq!(details(unread, 80, &["map", "RAM was"]), Vec::<String>::new());
}

#[test]
fn a_map_reads_without_colour_and_in_ascii() {
    let mut app = app(mapped());
    app.settings.ascii = true;
    press(&mut app, "j j tab");
    let shown = picture(&app, 60, 30);
    assert!(shown.is_ascii(), "{shown}");
    let line = |word: &str| shown.lines().find(|line| line.contains(word)).unwrap().to_owned();
    insta::assert_snapshot!(line(" map ").trim(), @"map        =============-=======-.....................?????");
    insta::assert_snapshot!(line(" RAM was ").trim(), @"RAM was    ##**=-:.___=");
}
