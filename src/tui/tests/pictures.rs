//! Whole screens, as a person sees them.

use std::time::Duration;

use crate::config::Memory;
use crate::residency::bytes::{Bytes, GIB};
use crate::residency::host::Cards;
use crate::residency::snapshot::Reach;
use crate::residency::timing::Reading;
use crate::tui::app::App;
use crate::tui::fixture::{app, now, picture, press, usual};

#[test]
fn at_80_by_24_everything_is_there() {
    insta::assert_snapshot!(picture(&app(usual()), 80, 24), @r"
     127.0.0.1:11434   ollama 0.32.15   ● 2 ms           preload 2/3 in RAM   12:04
     VRAM RTX 2070  ██████ qwen 4.4+0.5 ██████▓▓▓█▓▚▚▚                  5.7/8.0 GiB
     RAM            ▓▓▓▓▓▓▓▚▒▒▒▒▒▒ ▒▒▒▒▒ ▒▒▒▒▒▒▒ ▒·cache·             19.2/31.0 GiB

       MODEL               SIZE  █VRAM ▒RAM ░    STAYS  STATE       FITS     TO VRAM
    ▸* openthinker3-7b   4.7 GB  ▒▒▒▒▒▒▒▒▒▒▒▒           in RAM      ~evicts   ~0.6 s
     * qwen2.5-coder:7b  4.7 GB  ████████████    42:10  idle                    here
     * deepseek-r1:14b   9.0 GB  ▒▒▒▒▒▒▒░░░░░           in RAM 62%  ~big      ~2.3 s
       llama3.1:8b       4.9 GB  ░░░░░░░░░░░░           on disk     ~fits     ~5.4 s
       mistral:7b        4.1 GB  ????????????           not loaded  ?              ?
       nomic-embed-text  274 MB  ████████████   pinned  idle                    here







     12:03:03  nomic-embed-text    pinned
     12:04:27  openthinker3-7b     evicted: made room for qwen2.5-coder:7b
     12:04:27  qwen2.5-coder:7b    loading
     12:04:31  qwen2.5-coder:7b    loaded in 0.61 s   from RAM 100 %   7.7 GB/s

     enter swap   l load   tab panel   / filter   q quit   o sort   b bench   ? help
    ");
}

#[test]
fn from_140_columns_the_details_are_at_the_right() {
    let mut app = app(usual());
    press(&mut app, "j");
    insta::assert_snapshot!(picture(&app, 160, 50), @r"
     resident   127.0.0.1:11434   ollama 0.32.15   ● 2 ms                                                                     preload 2/3 in RAM   workshop   12:04
     VRAM RTX 2070        ██████████████████████████ qwen 4.4+0.5 ███████████████████████████▓▓▓▓▓▓▓████▓▚other▚                                        5.7/8.0 GiB
     RAM                  ▓▓ system 4.4 ▓▓▓▚▚▒ openthinker ▒▒ ▒▒▒ qwen 4.4 ▒▒▒ ▒▒▒ deepseek 5.2 ▒▒▒ ▒···· cache 4.8 ····                              19.2/31.0 GiB

       MODEL               SIZE  █VRAM▒RAM░disk          KEEP-ALIVE  STATE         FITS                TO VRAM   qwen2.5-coder:7b
     * openthinker3-7b   4.7 GB  ▒▒▒▒▒▒▒▒▒▒▒▒▒▒                      in RAM        ~evicts qwen2.5-c…   ~0.6 s   ██████████████████████████████████████████████████
    ▸* qwen2.5-coder:7b  4.7 GB  ██████████████  ━━━━━━━───   42:10  idle                                 here   size       4.7 GB   7.6B   Q4_K_M   qwen2   gguf
     * deepseek-r1:14b   9.0 GB  ▒▒▒▒▒▒▒▒▒░░░░░                      in RAM 62%    ~too big: 6.7/8.8    ~2.3 s   can        completion, tools
       llama3.1:8b       4.9 GB  ░░░░░░░░░░░░░░                      on disk       ~fits                ~5.4 s   tiers      █ VRAM 4.4   ▒ RAM 0.0   ░ disk 0.0 GiB
       mistral:7b        4.1 GB  ??????????????                      not loaded    ?                         ?   state      idle
       nomic-embed-text  274 MB  ██████████████              pinned  idle                                 here   context    4096   trained for 32768
                                                                                                                 keep_alive 1h after its last use
                                                                                                                 on card    4.9 of 4.9 GiB   GPU/CPU 100/0 %
                                                                                                                 runner     pid 4711   port 40123   idle
                                                                                                                 slots      1 of 4096 tokens   -ngl 29
                                                                                                                 memory     own 300 MiB
                                                                                                                 load mode  mmap: mapped; what is in RAM loads fast
                                                                                                                 RAM        100 % of its files   counted by the ker…
                                                                                                                 map        ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
                                                                                                                 to VRAM    here
                                                                                                                 digest     845dbda0ea48845dbda0ea48845dbda0ea48845…
                                                                                                                 weights    4.7 GB   100 % in RAM
                                                                                                                            /models/blobs/sha256-60e05f21





















     12:03:03  nomic-embed-text            pinned
     12:04:27  openthinker3-7b             evicted: made room for qwen2.5-coder:7b
     12:04:27  qwen2.5-coder:7b            loading
     12:04:31  qwen2.5-coder:7b            loaded in 0.61 s   from RAM 100 %   7.7 GB/s

     u unload   p pin   t touch   K keep_alive   h hold   x drop   tab panel   / filter   q quit   o sort   b bench   z zoom   space freeze   v columns   ? help
    ");
}

#[test]
fn on_a_narrow_screen_name_tiers_countdown_and_state_remain() {
    insta::assert_snapshot!(picture(&app(usual()), 40, 12), @r#"
     127.0.0.1:11434   ● 2 ms         12:04
     VRAM █ qwen ██▓█▓▚         5.7/8.0 GiB
     RAM  ▓▓▚▒▒▒▒▒▒ ▒···      19.2/31.0 GiB
       MODEL          TIER   STAYS STATE
    ▸* openthinker3-… ▒▒▒▒         in RAM
     * qwen2.5-coder… ████   42:10 idle
     * deepseek-r1:1… ▒▒░░         RAM 62%
       llama3.1:8b    ░░░░         on disk
       mistral:7b     ????         out
       nomic-embed-t… ████  pinned idle
     12:04:31  qwen2.5-coder…  loaded in 0.…
     enter swap   l load   ? help
    "#);
    insta::assert_snapshot!(picture(&app(usual()), 30, 8), @r#"
     127.0.0.1:11434   ● 2 ms
     VRAM █████▓█▓▚       5.7/8.0
    ▸* openthi… ▒▒▒▒         RAM
     * qwen2.5… ████   42:10 idle
     * deepsee… ▒▒░░         RAM
       … 3 below
     12:04:31  qwen2.5-coder…  lo…
     enter swap   l load   ? help
    "#);
    insta::assert_snapshot!(picture(&app(usual()), 29, 8), @"too small: needs 30x8");
}

#[test]
fn on_a_narrow_screen_the_details_are_a_panel_of_their_own() {
    let mut app = app(usual());
    press(&mut app, "j tab");
    insta::assert_snapshot!(picture(&app, 80, 24), @r"
    127.0.0.1:11434   ollama 0.32.15   ● 2 ms           preload 2/3 in RAM   12:04
    VRAM RTX 2070  ██████ qwen 4.4+0.5 ██████▓▓▓█▓▚▚▚                  5.7/8.0 GiB
    RAM            ▓▓▓▓▓▓▓▚▒▒▒▒▒▒ ▒▒▒▒▒ ▒▒▒▒▒▒▒ ▒·cache·             19.2/31.0 GiB

    qwen2.5-coder:7b
    ██████████████████████████████████████████████████████████████████████████████
    size       4.7 GB   7.6B   Q4_K_M   qwen2   gguf
    can        completion, tools
    tiers      █ VRAM 4.4   ▒ RAM 0.0   ░ disk 0.0 GiB
    state      idle
    context    4096   trained for 32768
    keep_alive 1h after its last use
    on card    4.9 of 4.9 GiB   GPU/CPU 100/0 %
    runner     pid 4711   port 40123   idle
    slots      1 of 4096 tokens   -ngl 29
    memory     own 300 MiB
    load mode  mmap: mapped; what is in RAM loads fast
    RAM        100 % of its files   counted by the kernel
    map        ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
    to VRAM    here
    digest     845dbda0ea48845dbda0ea48845dbda0ea48845dbda0ea48845dbda0ea48
    … 2 more below
    12:04:31  qwen2.5-coder:7b    loaded in 0.61 s   from RAM 100 %   7.7 GB/s
    u unload   p pin   t touch   K keep_alive   h hold   x drop   esc back   ? help
    ");
}

fn without_server() -> App {
    let mut down = usual();
    down.servers[0].models.clear();
    down.servers[0].version = None;
    down.servers[0].ps_at = None;
    down.servers[0].tags_at = None;
    down.servers[0].reach = Reach::Down { since: now(), answers: false, why: "connection refused".into() };
    down.events.clear();
    let mut app = app(down);
    app.settings.demo_place = Some(("/home/me/.cache/resident/demo".into(), Bytes(1_523_000_000)));
    app
}

#[test]
fn without_a_server_the_screen_explains_itself() {
    insta::assert_snapshot!(picture(&without_server(), 80, 24), @r#"
     resident   127.0.0.1:11434   ○ gone since 12:04:31            workshop   12:04
     VRAM RTX 2070  ▚▚▚▚▚▚▚▚▚▚▚ other 5.7 ▚▚▚▚▚▚▚▚▚▚▚▚                  5.7/8.0 GiB
     RAM            ▓system▓········ cache 19.0 ·········              5.0/31.0 GiB

       no server answers at http://127.0.0.1:11434, since 12:04:31
       connection refused

       start one      ollama serve
       or name one    resident --host http://name:11434, or OLLAMA_HOST
       or look at it  d starts an embedded server with real files
                      1.5 GB in /home/me/.cache/resident/demo

       it is asked again all the time and appears here when it answers










     d demo   q quit   ? help
    "#);
}

#[test]
fn before_the_first_snapshot_it_says_whom_it_asks() {
    let mut before = without_server();
    before.snapshot = App::new(app(usual()).settings, before.keymap.clone(), None, now()).snapshot;
    insta::assert_snapshot!(picture(&before, 60, 10), @r#"
     resident   127.0.0.1:11434   ◐ connecting            12:04
     VRAM           not read yet
     RAM            not read yet
       asking http://127.0.0.1:11434 …





     q quit   ? help
    "#);
}

#[test]
fn without_a_config_one_line_says_what_would_fit() {
    let mut app = app(usual());
    app.settings.has_config = false;
    let shown = picture(&app, 80, 24);
    let line = "all 6 models fit in RAM (27.7 GB of 27.9 GB free)   I set up   ? help";
    assert!(shown.contains(line), "{shown}");
    let mut less = usual();
    let mut ram = less.host.ram.unwrap();
    ram.value.available = Bytes(15 * GIB);
    less.host.ram = Some(ram);
    let mut app = crate::tui::fixture::app(less);
    app.settings.has_config = false;
    let line = "4 models fit in RAM (13.8 GB of 16.1 GB free)   I set up   ? help";
    assert!(picture(&app, 80, 24).contains(line), "{}", picture(&app, 80, 24));
}

#[test]
fn the_demo_says_so_all_the_time() {
    let mut demo = usual();
    demo.servers[0].demo_scale = Some(16);
    let mut app = app(demo);
    for keys in ["g", "?", "esc I", "esc tab", "tab", "/"] {
        press(&mut app, keys);
        for (width, height) in [(30, 8), (80, 24), (160, 50)] {
            let shown = picture(&app, width, height);
            assert!(shown.lines().next().unwrap().contains("DEMO 1:16"), "{keys} {width}x{height}\n{shown}");
        }
    }
}

#[test]
fn the_config_s_budgets_are_marked_on_the_ram_gauge() {
    let mut app = app(usual());
    app.settings.memory = Memory::Set {
        system: Bytes(4 * GIB),
        models_preload: Bytes(16 * GIB),
        context_cache: Bytes(8 * GIB),
        total: Bytes(28 * GIB),
    };
    let shown = picture(&app, 160, 50);
    let gauge = shown.lines().nth(2).unwrap();
    assert_eq!(gauge.matches('│').count(), 3, "{gauge}");
}

#[test]
fn a_card_that_cannot_be_read_says_why_and_what_the_server_says_stays() {
    let mut without = usual();
    without.host.cards = Some(Reading { value: Cards::Unknown("no NVIDIA driver".into()), at: now() });
    let shown = picture(&app(without), 80, 24);
    assert!(
        shown.contains(" VRAM           models 5.2 GiB   card not readable: no NVIDIA driver"),
        "{shown}"
    );
}

#[test]
fn a_server_elsewhere_has_an_unknown_ram() {
    let mut remote = usual();
    remote.servers[0].local = false;
    assert!(
        picture(&app(remote), 80, 24).contains(" RAM            unknown: the server is on another machine")
    );
}

#[test]
fn a_model_that_is_partly_in_ram_says_how_much_of_it_is_on_the_card() {
    let mut split = usual();
    let loaded = split.servers[0].models[1].loaded.as_mut().unwrap();
    loaded.size_vram = Bytes(loaded.size.0 / 2);
    let shown = picture(&app(split), 200, 50);
    assert!(shown.lines().nth(6).unwrap().contains("50/50"), "{shown}");
}

#[test]
fn an_old_reading_of_the_card_is_said_to_be_old() {
    let mut old = usual();
    let cards = old.host.cards.as_mut().unwrap();
    cards.at.mono -= Duration::from_secs(60);
    assert!(picture(&app(old), 80, 24).contains("VRAM 1 min old"));
}
