//! stub
use std::{path::Path, sync::Arc, io};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use crate::residency::timing::Clock;
pub struct Lease { pub digest: String, pub pid: u32, pub asked_to_let_go: bool }
pub struct Journal { pub leases: watch::Receiver<Arc<Vec<Lease>>> }
pub enum Opened { Fresh }
impl Journal {
    pub fn open(_p: &Path, _c: Clock, _s: CancellationToken) -> io::Result<(Journal, Opened)> { todo!() }
    pub fn hold(&self, _d: Vec<String>) -> Result<(), ()> { Ok(()) }
    pub fn release_all(&self) -> Result<(), ()> { Ok(()) }
    pub fn watch(&self, _on: bool) {}
    pub fn ask_release(&self, _d: Vec<String>) -> Result<(), ()> { Ok(()) }
}
