//! Settling and leasing in one transaction: what a deliverer has learned, and what it goes on with.
//!
//! Each message of a line costs one commit so, and not two, one after the other.

use rusqlite::Connection;

use crate::{
    command::{Command, Hot},
    error::WriteError,
    lease::{Lease, LeasedRow},
    settle::Settle,
};

/// The command that ends leases and then takes others. All of it or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Leases that end, in this order.
    pub settled: Vec<Settle>,
    /// What is taken after that.
    pub lease: Option<Lease>,
}

impl Command for Turn {
    type Out = Vec<LeasedRow>;

    fn bytes(&self) -> usize {
        self.settled.iter().map(Command::bytes).sum()
    }

    fn apply(self, conn: &Connection, hot: &mut Hot) -> Result<Vec<LeasedRow>, WriteError> {
        for settle in self.settled {
            settle.apply(conn, hot)?;
        }
        self.lease.map_or(Ok(Vec::new()), |lease| lease.apply(conn, hot))
    }
}
