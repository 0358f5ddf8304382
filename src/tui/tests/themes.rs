//! Themes: one colour for each tier wherever it is drawn, and the key that changes them.

use std::sync::Arc;

use ratatui::style::{Color, Style};

use super::flows::flow;
use crate::config::{self, Base, Hue, Role};
use crate::residency::bytes::{Bytes, GIB};
use crate::residency::map::{CELLS, Map};
use crate::tui::app::App;
use crate::tui::fixture::{app, drawn, now, on, picture, press, usual};
use crate::tui::theme::{self, Depth, Wardrobe};

/// A theme in which no two roles have a colour in common.
fn distinct() -> config::Theme {
    let hue = |at: usize| Hue::Rgb(u8::try_from(at).unwrap() * 10 + 5, 0, 99);
    let own = Role::ALL.into_iter().enumerate().map(|(at, role)| (role, hue(at)));
    config::Theme { base: Base::Dark, own: own.collect() }
}

fn dressed(mut app: App, theme: config::Theme, depth: Depth) -> App {
    app.settings.wardrobe = Wardrobe::new(theme, depth);
    app.settings.theme = app.settings.wardrobe.theme();
    app
}

/// A screen on which all tiers are drawn in all places: gauges, table, a map of files, a line of time.
fn everywhere(theme: &config::Theme, depth: Depth) -> App {
    let mut app = on("deepseek-r1:14b", |snapshot| {
        let models = &mut snapshot.servers[0].models;
        models[3].arriving = Bytes(GIB);
        let mut blobs = models[1].blobs.clone();
        let mut shares = [(1, 2); CELLS];
        shares[..CELLS / 3].fill((0, 1));
        shares[CELLS / 2..].fill((1, 1));
        blobs[0].map = Some(Map::of(shares));
        models[2].blobs = blobs;
    });
    app.flow = Some(Arc::new(flow()));
    dressed(app, theme.clone(), depth)
}

#[test]
fn a_tier_has_one_colour_in_gauge_bar_map_timeline_and_help() {
    for (theme, depth) in Base::ALL
        .map(|base| (config::Theme { base, ..config::Theme::default() }, Depth::Sixteen))
        .into_iter()
        .chain([(distinct(), Depth::All)])
    {
        let mut app = everywhere(&theme, depth);
        let looks = app.settings.theme;
        let tiers = [
            (theme::VRAM, looks.vram),
            (theme::RAM, looks.ram),
            (theme::PARTLY, looks.ram),
            (theme::DISK, looks.disk),
        ];
        let mut seen = [0; 4];
        for keys in ["j k", "?"] {
            press(&mut app, keys);
            for (width, height) in [(80, 24), (160, 50)] {
                let buffer = drawn(&app, width, height, now());
                for cell in &buffer.content {
                    let Some(tier) = tiers.iter().position(|(glyph, _)| *glyph == cell.symbol()) else {
                        continue;
                    };
                    let of = tiers[tier].1;
                    let wanted = (of.fg.unwrap_or(Color::Reset), of.add_modifier);
                    assert_eq!((cell.fg, cell.modifier), wanted, "{theme} {keys} {width}: {}", cell.symbol());
                    seen[tier] += 1;
                }
            }
        }
        assert!(seen.iter().all(|count| *count > 4), "{seen:?}");
    }
}

#[test]
fn the_screen_above_shows_each_tier_in_each_place() {
    let shown = picture(&everywhere(&distinct(), Depth::All), 160, 50);
    let has = |word: &str, glyphs: &[&str]| {
        let line =
            shown.lines().find(|line| line.contains(word)).unwrap_or_else(|| panic!("{word}\n{shown}"));
        assert!(glyphs.iter().all(|glyph| line.contains(glyph)), "{word}: {line}");
    };
    has("VRAM RTX", &[theme::VRAM]);
    has("llama 1.0", &[theme::VRAM]);
    has("in RAM 62%", &[theme::RAM, theme::DISK]);
    has("warming", &[theme::RAM, theme::DISK]);
    assert!(shown.lines().any(|line| line.contains(theme::PARTLY)), "{shown}");
}

#[test]
fn a_key_changes_the_theme_and_says_its_name() {
    let mut app = app(usual());
    let before = app.settings.theme;
    press(&mut app, "T");
    assert_eq!(app.notice.as_deref(), Some("theme light"));
    assert_ne!(app.settings.theme, before);
    press(&mut app, "T T T T");
    assert_eq!((app.notice.as_deref(), app.settings.theme), (Some("theme dark"), before));
    let mut plain = dressed(app, config::Theme::default(), Depth::None);
    press(&mut plain, "T");
    assert!(plain.notice.as_deref().unwrap().contains("NO_COLOR"));
    assert_eq!(plain.settings.theme.vram.fg, Style::new().fg);
}
