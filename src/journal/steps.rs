//! The steps that lead from an empty file to this version of the journal.

/// The steps that lead from an empty file to this version; a file of version n has gone the first n of them. Never
/// change one that was released: add another.
pub(super) const STEPS: [&str; 7] = [
    "
    CREATE TABLE process (
        id INTEGER PRIMARY KEY,
        boot TEXT NOT NULL,
        pid INTEGER NOT NULL,
        started INTEGER NOT NULL,
        UNIQUE (boot, pid, started)
    ) STRICT;
    CREATE TABLE lease (
        process INTEGER NOT NULL REFERENCES process (id) ON DELETE CASCADE,
        digest TEXT NOT NULL,
        since INTEGER NOT NULL, -- microseconds since 1970
        asked INTEGER NOT NULL, -- 1: another process wants the blob dropped
        PRIMARY KEY (process, digest)
    ) STRICT, WITHOUT ROWID;
",
    // Times are microseconds; of an id, a later row has a higher one. Servers and models are names.
    "
    CREATE TABLE name (
        id INTEGER PRIMARY KEY,
        text TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE TABLE swap (
        id INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice: the highest tells that there is news
        server INTEGER NOT NULL,
        at INTEGER NOT NULL,
        model INTEGER NOT NULL,
        ours INTEGER NOT NULL,
        displaced TEXT NOT NULL, -- a JSON list of names
        whole INTEGER NOT NULL, -- bytes, as all sizes
        in_vram INTEGER NOT NULL,
        ram INTEGER,
        estimate INTEGER NOT NULL,
        way TEXT NOT NULL,
        mode TEXT NOT NULL,
        num_ctx INTEGER,
        unload INTEGER,
        gone INTEGER,
        card_free INTEGER,
        read INTEGER,
        read_took INTEGER,
        load INTEGER,
        server_load INTEGER,
        first_token INTEGER,
        total INTEGER,
        ended TEXT NOT NULL, -- ready, failed, cancelled
        stage TEXT, -- in which it failed or was cancelled
        why TEXT,
        cold INTEGER NOT NULL -- 1: from the disk, timed, and done
    ) STRICT;
    CREATE INDEX swap_at ON swap (server, at);
    CREATE INDEX swap_cold ON swap (server, at) WHERE cold;
    CREATE TABLE gone (
        id INTEGER PRIMARY KEY,
        server INTEGER NOT NULL,
        at INTEGER NOT NULL,
        model INTEGER NOT NULL,
        how TEXT NOT NULL, -- unloaded, evicted, expired, died
        by INTEGER -- the model that it was evicted for
    ) STRICT;
    CREATE INDEX gone_at ON gone (server, at);
    CREATE TABLE used (
        id INTEGER PRIMARY KEY,
        server INTEGER NOT NULL,
        at INTEGER NOT NULL,
        model INTEGER NOT NULL,
        idle INTEGER
    ) STRICT;
    CREATE INDEX used_at ON used (server, at);
    CREATE TABLE phase (
        id INTEGER PRIMARY KEY,
        server INTEGER NOT NULL,
        at INTEGER NOT NULL,
        run TEXT NOT NULL,
        phase TEXT NOT NULL,
        model INTEGER,
        next INTEGER,
        swap INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX phase_at ON phase (server, at);
    CREATE INDEX phase_run ON phase (server, run);
",
    // For what came before it, and for the work of what had to go.
    "ALTER TABLE swap ADD COLUMN waited INTEGER",
    "
    CREATE TABLE forecast (
        id INTEGER PRIMARY KEY AUTOINCREMENT, -- as of a swap
        server INTEGER NOT NULL,
        at INTEGER NOT NULL,
        model INTEGER NOT NULL,
        num_ctx INTEGER,
        right INTEGER, -- whether those who went were foreseen
        said INTEGER, -- bytes on the cards
        took INTEGER NOT NULL,
        size INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX forecast_at ON forecast (server, at);
  ",
    "
    CREATE TABLE pin (
        server INTEGER NOT NULL,
        model INTEGER NOT NULL,
        since INTEGER NOT NULL,
        whose TEXT NOT NULL, -- user; other: of the config or another client; released: against the config
        before INTEGER, -- keep_alive before the pin; -1 is for ever
        suspended_by INTEGER, -- the model whose swap displaced it
        suspended INTEGER,
        tries INTEGER NOT NULL, -- how often it was brought back lately
        gave_up INTEGER,
        gave_up_by INTEGER,
        PRIMARY KEY (server, model)
    ) STRICT, WITHOUT ROWID;
",
    // What was counted of rows that went because they were too old or too many.
    "
    CREATE TABLE tally (
        server INTEGER NOT NULL,
        what TEXT NOT NULL, -- swap, left, used, phase, forecast
        model INTEGER NOT NULL, -- 0: of no model
        ours INTEGER NOT NULL,
        how TEXT NOT NULL,
        origin TEXT NOT NULL,
        class INTEGER NOT NULL, -- milliseconds that a swap took at most; 0: longer than all; -1: not timed
        times INTEGER NOT NULL,
        took INTEGER NOT NULL,
        read INTEGER NOT NULL,
        PRIMARY KEY (server, what, model, ours, how, origin, class)
    ) STRICT, WITHOUT ROWID;
",
    // 0: what it displaced is not known, and its list is empty.
    "ALTER TABLE swap ADD COLUMN displaced_known INTEGER NOT NULL DEFAULT 1",
];
