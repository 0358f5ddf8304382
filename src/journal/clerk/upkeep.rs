//! The file's upkeep: what is wanted is written into it, what is new in it is read and published; opened anew where it was
//! moved or is damaged.

use std::sync::Arc;

use super::{Command, WAITING, Work};
use crate::journal::file::{self, Book};
use crate::journal::lease::{self, Held};
use crate::journal::past::Recall;
use crate::journal::uses::Uses;
use crate::journal::{Opened, QUEUE, keep};
use crate::residency::text::printable;

impl Work<'_> {
    /// Brings the file and what is known of it up to date; opens it anew where it was moved or is damaged, and then
    /// says how it was found.
    pub(super) fn turn(&mut self, asks: &[String]) -> Result<Option<Opened>, String> {
        let mut opened = None;
        if !self.book.as_ref().is_some_and(Book::is_in_place) {
            opened = Some(self.open(false)?);
        }
        let mut done = self.attempt(asks);
        if done.as_ref().is_err_and(file::is_suspect) {
            let how = self.open(true)?;
            // Nothing new to say of a file in which no damage was found.
            opened = if how == Opened::Existing { opened } else { Some(how) };
            done = self.attempt(asks);
        }
        let trouble = done.err().map(|error| file::in_short(&error.to_string()));
        self.behind |= trouble.is_some();
        // What cannot be written waits here, as long as there is room.
        let excess = self.records.len().saturating_sub(WAITING);
        self.records.drain(..excess);
        self.clerk.state.send_if_modified(|state| {
            let is_news = state.trouble != trouble || excess > 0;
            state.trouble = trouble;
            state.lost += excess as u64;
            is_news
        });
        Ok(opened)
    }

    /// Closes the file, opens what is in its place, and says again there what is held.
    pub(super) fn open(&mut self, thorough: bool) -> Result<Opened, String> {
        self.book = None;
        let book = file::open(&self.clerk.path, (self.clerk.clock)().wall, thorough).map_err(|error| {
            let path = self.clerk.path.to_string_lossy();
            format!("no journal: {}: {}", printable(&path), file::in_short(&error.to_string()))
        })?;
        let opened = book.opened.clone();
        self.book = Some(book);
        self.behind = !self.held.is_empty();
        self.version = None;
        self.recall.iter_mut().for_each(Recall::is_stale);
        self.pins.is_stale();
        self.uses.iter_mut().for_each(Uses::begin_anew);
        Ok(opened)
    }

    fn attempt(&mut self, asks: &[String]) -> rusqlite::Result<()> {
        let Some(book) = self.book.as_mut() else { return Ok(()) };
        if self.behind {
            lease::write(&mut book.connection, &self.me, &self.held)?;
            self.behind = false;
            self.version = None;
        }
        if !asks.is_empty() {
            lease::ask(&mut book.connection, &self.me, asks)?;
            self.version = None;
        }
        let now = (self.clerk.clock)().wall;
        if !self.records.is_empty() {
            keep::write(&mut book.connection, self.records.make_contiguous(), &mut self.pruned, now)?;
            self.records.clear();
            self.recall.iter_mut().for_each(Recall::is_stale);
            self.uses.iter_mut().for_each(Uses::is_stale);
        }
        self.pins.write(&mut book.connection)?;
        // Before the reading: what is written meanwhile shows at the next look.
        let version = book.version()?;
        let is_same = self.version == Some(version);
        if !(is_same && self.found.alive.iter().all(|process| process.is_alive(&self.me.boot))) {
            self.found = lease::read(&book.connection, &self.me.boot)?;
            self.version = Some(version);
            let leases = &self.found.leases;
            self.clerk.leases.send_if_modified(|known| {
                let is_news = **known != *leases;
                if is_news {
                    *known = Arc::new(leases.clone());
                }
                is_news
            });
            for process in std::mem::take(&mut self.found.dead) {
                lease::forget(&book.connection, &process)?;
            }
        }
        // Before the past: who waits for that has both then.
        if let Some(uses) = &mut self.uses
            && let Some(tunings) = uses.read(&book.connection, version, now)?
        {
            self.clerk.tunings.send_replace(Some(tunings));
        }
        if let Some(recall) = &mut self.recall
            && let Some(past) = recall.read(&book.connection, version, now)?
        {
            self.clerk.past.send_replace(Arc::new(past));
        }
        if let Some(recall) = &self.recall
            && let Some(pins) = self.pins.read(&book.connection, recall.server(), version)?
        {
            self.clerk.pins.send_if_modified(|known| {
                let is_news = known.as_ref().is_none_or(|known| **known != pins);
                if is_news {
                    *known = Some(Arc::new(pins));
                }
                is_news
            });
        }
        Ok(())
    }

    /// Writes down what it was given, and gives up all that is held. Where that fails, the rows of a dead process do
    /// not count.
    pub(super) fn end(&mut self) {
        for command in self.clerk.commands.try_iter().take(QUEUE) {
            match command {
                Command::Record(records) => self.records.extend(records),
                Command::Pin(note) => self.pins.note(note),
                _ => {}
            }
        }
        if let Some(book) = self.book.as_mut() {
            if !self.records.is_empty() {
                let now = (self.clerk.clock)().wall;
                let records = self.records.make_contiguous();
                let _ = keep::write(&mut book.connection, records, &mut self.pruned, now);
            }
            let _ = self.pins.write(&mut book.connection);
            if self.behind || !self.held.is_empty() {
                let _ = lease::write(&mut book.connection, &self.me, &Held::new());
            }
        }
        self.book = None;
    }
}
