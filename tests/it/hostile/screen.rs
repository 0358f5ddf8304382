//! The screen: whatever a server's words are and whichever keys are pressed, no cell of the picture is unsafe.
//!
//! The first byte is the width, the second the height, the third says how many of the following are keys; the rest is
//! words, each ended by a zero byte.

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::tz::TimeZone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use resident::config::Config;
use resident::residency::act::{Act, ActId, ActKind, ActState};
use resident::residency::bytes::Bytes;
use resident::residency::event::{Event, What};
use resident::residency::expiry::Expiry;
use resident::residency::guard::Keeping;
use resident::residency::host::{Card, Cards, Ram};
use resident::residency::name::ModelName;
use resident::residency::snapshot::{Details, Host, Loaded, Model, Reach, Server, Snapshot, State};
use resident::residency::timing::{Moment, Reading};
use resident::tui::app::{App, Settings};
use resident::tui::keymap::Keymap;
use resident::tui::theme::Depth;
use resident::tui::view::view;

use super::safe;

/// Keys that open, close and move things.
const KEYS: &[u8] = b"jkgGoz/?fHvTbxpKtwhaciI123 ynq\r\x1b\t\x7f";

#[expect(clippy::disallowed_methods, reason = "any instant will do, far enough from zero")]
pub fn holds(data: &[u8]) {
    let [width, height, count, rest @ ..] = data else { return };
    let (keys, words) = rest.split_at(rest.len().min(usize::from(*count % 16)));
    let mono = std::time::Instant::now() + Duration::from_secs(100_000);
    let now = Moment { mono, wall: "2026-11-23T12:04:31Z".parse().expect("a time") };
    let mut words = Words { left: words, whole: words };
    let config = Config { may_act: true, ..Config::default() };
    let propose = Box::new(|_: &Snapshot| Err("there is one already".to_owned()));
    let settings = Settings::of(&config, Depth::Sixteen, TimeZone::UTC, propose);
    let mut app = App::new(settings, Keymap::default(), Some(words.next()), now);
    app.see(Arc::new(snapshot(&mut words, now)));
    let area = Rect::new(0, 0, 20 + u16::from(*width), 5 + u16::from(*height) % 60);
    draw(&app, area, now);
    for key in keys {
        let code = match KEYS[usize::from(*key) % KEYS.len()] {
            b'\r' => KeyCode::Enter,
            b'\x1b' => KeyCode::Esc,
            b'\t' => KeyCode::Tab,
            b'\x7f' => KeyCode::Backspace,
            letter => KeyCode::Char(char::from(letter)),
        };
        // What it would have the loop do is the loop's.
        let _ = app.key(KeyEvent::new(code, KeyModifiers::NONE), now);
        draw(&app, area, now);
    }
    app.paste(&words.next());
    draw(&app, area, now);
}

fn draw(app: &App, area: Rect, now: Moment) {
    let mut buffer = Buffer::empty(area);
    view(&mut buffer, app, now);
    for cell in &buffer.content {
        safe::assert_safe(cell.symbol());
        assert!(cell.symbol().chars().count() <= 16, "a pile of marks: {:?}", cell.symbol());
    }
}

/// The words in turn, from the beginning again after the last.
struct Words<'a> {
    left: &'a [u8],
    whole: &'a [u8],
}

impl Words<'_> {
    fn next(&mut self) -> String {
        if self.left.is_empty() {
            self.left = self.whole;
        }
        let end = self.left.iter().position(|byte| *byte == 0).unwrap_or(self.left.len());
        let word = safe::text(&self.left[..end]);
        self.left = self.left.get(end + 1..).unwrap_or_default();
        word
    }

    fn name(&mut self) -> ModelName {
        ModelName::from_server(&self.next())
    }

    /// A size that the next word stands for, of any magnitude.
    fn size(&mut self) -> Bytes {
        let word = self.next();
        let number = word.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(257).wrapping_add(byte.into()));
        Bytes(number & (u64::MAX >> (word.len() % 64)))
    }
}

fn snapshot(words: &mut Words, now: Moment) -> Snapshot {
    let models = (0..4).map(|at| model(words, at, now)).collect();
    let (why, owner) = (words.next(), words.next());
    let is_up = why.len().is_multiple_of(2);
    let server = Server {
        url: words.next(),
        reach: if is_up {
            Reach::Up { latency: Duration::from_millis(3) }
        } else {
            Reach::Down { since: now, answers: true, why }
        },
        version: Some(words.next()),
        local: true,
        demo_scale: None,
        models_dir: Some(words.next().into()),
        models_dir_unknown: Some(words.next()),
        files_owner: Some(owner),
        findings: None,
        models,
        ps_at: Some(now),
        tags_at: Some(now),
        runners: Some(1),
    };
    let card = Card { name: words.next(), total: words.size(), used: words.size(), ..Card::default() };
    let ram = Ram { total: words.size(), used: words.size(), page_cache: words.size(), ..Ram::default() };
    let happened = [
        What::Failed { verb: "load", why: words.next() },
        What::Warned { why: words.next() },
        What::HoldTrouble { why: words.next() },
        What::Evicted { by: Some(words.name()) },
        What::ServerGone { why: words.next() },
        What::Cancelled { verb: "swap", left: Some(words.next()) },
        What::Dropped { was: words.size(), left: words.size() },
    ];
    let events = happened
        .into_iter()
        .zip(1..)
        .map(|(what, number)| Arc::new(Event { number, at: now, model: Some(words.name()), what }));
    let events = events.collect();
    let act = |id, model, state| Act {
        id: ActId(id),
        kind: ActKind::Load,
        model,
        state,
        progress: None,
        swap: None,
        first_token: None,
    };
    let acts = vec![
        act(1, words.name(), ActState::Queued { why: words.next(), since: now }),
        act(2, words.name(), ActState::Failed { why: words.next(), cancelled: false, at: now }),
    ];
    Snapshot {
        at: now,
        host: Host {
            name: words.next(),
            ram: Some(Reading { value: ram, at: now }),
            cards: Some(Reading { value: Cards::Known(vec![card]), at: now }),
            holds: words.size(),
        },
        servers: vec![server],
        events,
        acts,
        past: Arc::default(),
        keeping: Keeping::default(),
        tunings: None,
    }
}

fn model(words: &mut Words, at: usize, now: Moment) -> Model {
    let mut model = Model::named(words.name());
    model.digest = words.next();
    model.size = words.size();
    model.tiers.disk = model.size;
    model.details = Details {
        format: words.next(),
        family: words.next(),
        parameters: words.next(),
        quantisation: words.next(),
        capabilities: vec![words.next(), words.next()],
        train_context: Some(words.size().0),
        remote_host: (at == 3).then(|| words.next()),
    };
    model.shared_with = vec![words.name()];
    model.state = [State::OnDisk, State::Idle, State::Busy, State::Cloud][at % 4];
    if matches!(model.state, State::Idle | State::Busy) {
        let expiry = Expiry::read(Some(&words.next()), now.wall);
        let (size, size_vram) = (words.size(), words.size());
        model.loaded = Some(Loaded {
            size,
            size_vram,
            context: Some(words.size().0),
            expiry,
            keep_alive: None,
            runner: None,
        });
    }
    model
}
