//! Sizes on the screen, in the unit that fits the machine.

use crate::residency::bytes::Bytes;
use crate::residency::host::Cards;
use crate::tui::fixture::{app, picture, press, usual};

#[test]
fn what_is_smaller_than_a_gib_is_shown_in_mib() {
    let scale = |sizes: &mut [&mut Bytes]| sizes.iter_mut().for_each(|size| size.0 /= 1024);
    let mut small = usual();
    let ram = &mut small.host.ram.as_mut().unwrap().value;
    scale(&mut [&mut ram.total, &mut ram.used, &mut ram.page_cache]);
    let Cards::Known(cards) = &mut small.host.cards.as_mut().unwrap().value else { panic!() };
    let card = &mut cards[0];
    scale(&mut [&mut card.total, &mut card.used]);
    let model = &mut small.servers[0].models[1];
    scale(&mut [&mut model.size, &mut model.tiers.vram]);
    let loaded = model.loaded.as_mut().unwrap();
    scale(&mut [&mut loaded.size, &mut loaded.size_vram]);
    small.servers[0].models.truncate(2);
    let mut app = app(small);
    press(&mut app, "j");
    let shown = picture(&app, 160, 50);
    for words in ["5.7/8.0 MiB", "qwen 4.4+0.5", "█ VRAM 4.4   ▒ RAM 0.0   ░ disk 0.0 MiB", "4.9 of 4.9 MiB"]
    {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
    assert!(!shown.contains("GiB "), "{shown}");
    assert!(picture(&app, 30, 8).contains("5.7/8.0M"), "{}", picture(&app, 30, 8));
}
