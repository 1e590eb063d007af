//! Resources of the local endpoint: one, a version of it, what a search finds, and which of them show what.

use super::Reader;
use crate::{
    error::ReadError,
    resource::{self, ResourceId, Shown},
    resource_read::{self, Find, Finding, ResourceVersion, Spot},
    unserved::{self, Unserved},
};

impl Reader {
    /// A version of the resource with this number; the one that stands where none is named.
    pub fn resource(&self, number: i64, version: Option<i64>) -> Result<Option<ResourceVersion>, ReadError> {
        resource_read::version(self.conn()?, number, version)
    }

    /// The tag, the site and the kind of the resource with this number.
    pub fn resource_named(&self, number: i64) -> Result<Option<(ResourceId, String, String)>, ReadError> {
        Ok(resource_read::named(self.conn()?, number)?)
    }

    /// The versions of a resource, the newest first: at most `limit` before the version `before`.
    pub fn resource_history(
        &self,
        number: i64,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<ResourceVersion>, ReadError> {
        resource_read::history(self.conn()?, number, before, limit)
    }

    /// What follows `after` in the order of a search, at most `limit` of it.
    pub fn find_resources(
        &self,
        find: &Find,
        after: Option<Spot>,
        limit: usize,
    ) -> Result<Finding, ReadError> {
        find.run(self.conn()?, after, limit)
    }

    /// How many resources a search's index shows whose times `admits`; `None` where that is more than its budget.
    pub fn count_resources(
        &self,
        find: &Find,
        admits: &dyn Fn(i64, i64) -> bool,
    ) -> Result<Option<u64>, ReadError> {
        find.count(self.conn()?, admits)
    }

    /// The numbers of the resources under a key whose first and last times of beginning are these (ms, both included), in order;
    /// at most one more than [`crate::GUARD_MOST`].
    pub fn resources_under(&self, key: i64, begins: (i64, i64)) -> Result<Vec<i64>, ReadError> {
        Ok(resource::under(self.conn()?, key, begins)?)
    }

    /// The resource that shows something of the box.
    pub fn resource_showing(
        &self,
        what: Shown,
        id: i64,
        part: &str,
    ) -> Result<Option<ResourceId>, ReadError> {
        Ok(resource::served(self.conn()?, what, id, part)?)
    }

    /// What of the box a resource shows.
    pub fn shown_by(&self, number: i64) -> Result<Option<(Shown, i64)>, ReadError> {
        resource_read::shows(self.conn()?, number)
    }

    /// What has changed since the resources that show it were made; at most `limit` of each.
    pub fn unserved(&self, limit: usize) -> Result<Vec<Unserved>, ReadError> {
        Ok(unserved::all(self.conn()?, limit)?)
    }

    /// What of one sort has changed since the resources that show it were made: at most `limit` after a number, in order.
    pub fn unserved_after(&self, what: Shown, after: i64, limit: usize) -> Result<Vec<Unserved>, ReadError> {
        Ok(unserved::after(self.conn()?, what, after, limit)?)
    }

    /// The resources that show something of the box, by part.
    pub fn parts_showing(&self, what: Shown, id: i64) -> Result<Vec<(String, ResourceId)>, ReadError> {
        Ok(resource::parts(self.conn()?, what, id)?)
    }

    /// The version that a message is; `None` where it is none of a resource.
    pub fn resource_of_message(&self, inbox_id: i64) -> Result<Option<ResourceVersion>, ReadError> {
        resource_read::of_message(self.conn()?, inbox_id)
    }
}
