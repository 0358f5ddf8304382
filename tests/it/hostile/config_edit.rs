//! The preload list written into a settings file: as told and nothing else changed, or not at all.
//!
//! The text ends at the first zero byte; behind it are the names of the new list, one a line.

use resident::config::with_preload;
use resident::residency::name::ModelName;

use super::safe;

pub fn holds(data: &[u8]) {
    let (text, names) = match data.iter().position(|byte| *byte == 0) {
        Some(end) => (safe::text(&data[..end]), safe::text(&data[end + 1..])),
        None => (safe::text(data), "new:1b\nhf.co/a/b:Q4".to_owned()),
    };
    let list: Vec<ModelName> =
        names.lines().filter_map(|name| ModelName::parse(name).ok()).take(20).collect();
    let new = match with_preload(Some(&text), &list) {
        Ok(new) => new,
        Err(why) => return why.lines().for_each(safe::assert_safe),
    };
    assert_eq!(with_preload(Some(&new), &list).as_ref(), Ok(&new), "it is done");
    // Remarks in lines of their own stay, in their order.
    let mut lines = new.lines();
    for remark in text.lines().filter(|line| line.trim_start().starts_with('#')) {
        assert!(lines.any(|line| line == remark), "{remark:?} is gone from\n{new}");
    }
    // And the way there and back ends in one text.
    let back = with_preload(Some(&new), &[]).and_then(|empty| with_preload(Some(&empty), &list));
    if let Ok(back) = back {
        assert_eq!(with_preload(Some(&back), &list).as_ref(), Ok(&back));
    }
}
