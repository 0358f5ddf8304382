//! What the screen shows and does, at every size and with every kind of model.

mod acts;
mod agents;
mod calm;
mod figures;
mod findings;
mod fleet;
mod flows;
mod keeping;
mod log;
mod looks;
mod near;
mod output;
mod phases;
mod pictures;
mod pinning;
mod pins;
mod proofs;
mod ram;
mod sizes;
mod startup;
mod swaps;
mod tuning;
mod under_way;
