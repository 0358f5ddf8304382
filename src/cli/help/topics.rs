//! The subcommands by group, each with its examples.

use super::{Example, Group, Topic};

/// Examples of the program as a whole.
pub(in crate::cli) const ROOT: &[Example] = &[
    ("resident", "the screen"),
    ("resident --demo", "the same on an embedded server, with real files"),
    ("resident status --json --host 10.0.0.5", "the same for scripts, from another machine"),
    ("resident swap qwen2.5-coder:7b", "make it the one that is ready"),
    ("resident preload", "the primary model into VRAM, the list into RAM"),
    ("resident phase execution --run 7", "what an agent calls between its steps"),
    ("resident doctor", "what is wrong, and what to do"),
    ("resident config --init", "propose a config from what is there"),
];

/// What is told of each subcommand, in the order of the list.
pub(in crate::cli) const TOPICS: &[Topic] = &[
    Topic {
        name: "status",
        group: Group::Look,
        notes: "",
        examples: &[
            ("resident status", "one table: every model, where it is, how long it stays"),
            ("resident status --json", "all of it for scripts: sizes in bytes, times in seconds"),
            ("resident status --watch --json", "an object a line at every change, until Ctrl-C"),
            ("resident status --host 10.0.0.5", "of another machine, where RAM is unknown"),
        ],
    },
    Topic {
        name: "pins",
        group: Group::Look,
        notes: "",
        examples: &[
            ("resident pins", "each pin, and the dashboard that brings it back"),
            ("resident pins --json", "the same for scripts"),
        ],
    },
    Topic {
        name: "history",
        group: Group::Look,
        notes: "",
        examples: &[
            ("resident history --since 1d", "every load and swap of the last day"),
            ("resident history --today", "today's swaps in one line"),
            ("resident history --kind left qwen2.5-coder:7b", "how this model left VRAM"),
            ("resident history --kind all --csv", "all that the journal knows, for a spreadsheet"),
        ],
    },
    Topic {
        name: "tune",
        group: Group::Look,
        notes: "",
        examples: &[
            ("resident tune", "each model's idle times and the keep_alive that covers them"),
            ("resident tune --percent 99", "one that covers nearly all of them"),
            ("resident tune --json", "with the histogram and every policy, for scripts"),
        ],
    },
    Topic {
        name: "doctor",
        group: Group::Look,
        notes: "",
        examples: &[
            ("resident doctor", "how all is set up, and what is found"),
            ("resident doctor --quick", "the same without measuring the disk"),
            ("resident doctor --json", "the same for a monitor; the exit code says whether"),
        ],
    },
    Topic {
        name: "export",
        group: Group::Look,
        notes: "Counters come from the journal, where all dashboards and commands of one user write what they\n\
                did and saw: a swap is counted 15 s after its end. What is unknown is left out.\n\
                assets/grafana/resident.json is a dashboard for Grafana.\n\n\
                Without a server resident_up is 0; once, and with --textfile, the exit code is 5 then.",
        examples: &[
            ("resident export --prometheus", "all metrics once, on stdout"),
            ("resident export --listen 9736", "at http://127.0.0.1:9736/metrics"),
            ("resident export --listen 0.0.0.0:9736 --name gpu.lan", "for others too, who call it gpu.lan"),
            ("resident export --textfile /var/lib/node_exporter/resident.prom --every 30s", ""),
        ],
    },
    Topic {
        name: "swap",
        group: Group::Move,
        notes: "",
        examples: &[
            ("resident swap qwen2.5-coder:7b", "say what goes, then what took how long"),
            ("resident swap qwen2.5-coder:7b --warm beside", "read its files while the server loads"),
            ("resident swap qwen2.5-coder:7b --num-ctx 16384", "with this context"),
            ("resident swap qwen2.5-coder:7b --restore --timeout 90s", "back to what was, if it fails"),
        ],
    },
    Topic {
        name: "load",
        group: Group::Move,
        notes: "",
        examples: &[
            ("resident load qwen2.5-coder:7b", "beside what is loaded, if the server sees room"),
            ("resident load qwen2.5-coder:7b --timeout 2m", "give up then, and end with 4"),
            ("resident load --yes deepseek-r1:14b", "even if a pinned or busy model must go for it"),
        ],
    },
    Topic {
        name: "unload",
        group: Group::Move,
        notes: "",
        examples: &[
            ("resident unload qwen2.5-coder:7b", "its files stay in RAM"),
            ("resident unload --yes qwen2.5-coder:7b", "even if it is pinned or busy; its pin is over"),
        ],
    },
    Topic {
        name: "touch",
        group: Group::Move,
        notes: "",
        examples: &[("resident touch qwen2.5-coder:7b", "its countdown begins anew, as if it had been used")],
    },
    Topic {
        name: "warm",
        group: Group::Move,
        notes: "",
        examples: &[
            ("resident warm qwen2.5-coder:7b", "its next load comes from RAM"),
            ("resident warm --all", "the whole preload list"),
        ],
    },
    Topic {
        name: "drop",
        group: Group::Move,
        notes: "",
        examples: &[("resident drop --yes deepseek-r1:14b", "its next load comes from the disk")],
    },
    Topic {
        name: "preload",
        group: Group::Move,
        notes: "ollama.model is loaded into VRAM first, then ollama.preload.models are read into RAM, in their \
                order. Nobody is evicted for it: where the card is in use the primary model waits, the rest goes on, \
                and the command ends with 1. It ends with 2 if there is nothing to preload.\n\n\
                What stays when it has ended: the primary model in VRAM, for as long as its keep_alive says; and \
                what was read, in the page cache, until the kernel needs the memory. Nothing holds it any more: a \
                running dashboard or `resident hold` does.",
        examples: &[
            ("resident preload", "all of it, for a service (Type=oneshot) or a login"),
            ("resident preload --ready primary", "before an agent starts: its first model, then go"),
            ("resident preload --timeout 2m --json", "one document at the end, for scripts"),
        ],
    },
    Topic {
        name: "pin",
        group: Group::Keep,
        notes: "",
        examples: &[
            ("resident pin qwen2.5-coder:7b", "a dashboard brings it back if others evict it"),
            ("resident pin --json qwen2.5-coder:7b", "the same for scripts"),
        ],
    },
    Topic {
        name: "unpin",
        group: Group::Keep,
        notes: "",
        examples: &[("resident unpin qwen2.5-coder:7b", "it has the keep_alive of before again")],
    },
    Topic {
        name: "keep-alive",
        group: Group::Keep,
        notes: "",
        examples: &[
            ("resident keep-alive 30m qwen2.5-coder:7b", "it goes half an hour after its last use"),
            ("resident keep-alive 2h --json qwen2.5-coder:7b", "the same for scripts"),
        ],
    },
    Topic {
        name: "hold",
        group: Group::Keep,
        notes: "",
        examples: &[
            ("resident hold qwen2.5-coder:7b", "in RAM until Ctrl-C"),
            ("resident hold --all --foreground", "the preload list, for a service, until SIGTERM"),
        ],
    },
    Topic {
        name: "flow",
        group: Group::Prove,
        notes: "",
        examples: &[
            ("resident flow", "the workflows of the config"),
            ("resident flow react-dashboard", "run it, and read ahead for its next steps"),
            ("resident flow react-dashboard --json", "each step as it ends, then the run"),
            ("resident flow react-dashboard --compare", "cold, warm and with lookahead, beside each other"),
        ],
    },
    Topic {
        name: "bench",
        group: Group::Prove,
        notes: "",
        examples: &[
            ("resident bench qwen2.5-coder:7b", "cold and warm loads of it, after asking"),
            ("resident bench --yes --markdown", "of the preload list, as a table to paste"),
            ("resident bench --ways --runs 5", "and which way of reading ahead is best here"),
        ],
    },
    Topic {
        name: "phase",
        group: Group::Agents,
        notes: "",
        examples: &[
            ("resident phase", "the phases of the config, and their models"),
            ("resident phase execution --run 7", "its model is ready when this returns"),
            ("resident phase execution --run 7 --next analysis", "and a dashboard reads the next one ahead"),
            ("resident phase --over --run 7", "the run is over"),
        ],
    },
    Topic {
        name: "config",
        group: Group::SetUp,
        notes: "",
        examples: &[
            ("resident config", "every setting, and which file or variable it comes from"),
            ("resident config --check", "only whether it is right"),
            ("resident config --init", "write one from the models and the memory that are there"),
        ],
    },
    Topic {
        name: "demo",
        group: Group::SetUp,
        notes: "",
        examples: &[
            ("resident demo", "the screen; makes its model files once, in your cache"),
            ("resident demo --demo-scale 64", "with smaller files"),
            ("resident demo --serve --port 11435", "only its server, to try scripts with"),
            ("resident demo --clean", "remove its files"),
        ],
    },
    Topic {
        name: "completions",
        group: Group::SetUp,
        notes: "",
        examples: &[
            ("resident completions bash > ~/.local/share/bash-completion/completions/resident", ""),
            ("resident completions zsh > ~/.zfunc/_resident", "with ~/.zfunc in fpath"),
            ("resident completions fish > ~/.config/fish/completions/resident.fish", ""),
            ("resident completions elvish >> ~/.config/elvish/rc.elv", ""),
            ("resident completions powershell >> $PROFILE", "in PowerShell"),
        ],
    },
    Topic {
        name: "man",
        group: Group::SetUp,
        notes: "",
        examples: &[
            ("resident man | man -l -", "read it"),
            ("resident man --dir ~/.local/share/man/man1", "all pages: man resident, man resident-swap"),
        ],
    },
];
