//! What the screen shows and does, at every size and with every kind of model.

mod acts;
mod agents;
mod alerts;
mod calm;
mod columns;
mod course;
mod figures;
mod findings;
mod fleet;
mod flows;
mod freeze;
mod keeping;
mod looks;
mod mouse;
mod near;
mod phases;
mod pictures;
mod pins;
mod proofs;
mod ram;
mod sizes;
mod startup;
mod swaps;
mod themes;
mod tuning;
mod under_way;
