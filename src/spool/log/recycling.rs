//! Which segments are needed, and what becomes of those that are not.

use std::path::Path;

use super::{InUse, Log, LogEvent};
use crate::io::{Class, Disk, Machine};
use crate::mail::MessageId;
use crate::spool::compaction::{self, Usage};
use crate::spool::record::Extent;
use crate::spool::segment;

impl<M: Machine> Log<M> {
    /// Keeps a record of message `holder` that holds content, and may be needed by others as well: its octets count once.
    pub fn pin_shared(&self, extent: &Extent, holder: MessageId) {
        self.pin(extent, holder, extent.weight());
        let mut shared = self.0.shared.borrow_mut();
        let needed = shared.entry(*extent).or_insert(0);
        *needed += 1;
        if *needed > 1 {
            self.count(extent.epoch, extent.weight(), false);
        }
    }

    /// Takes back one [`Log::pin_shared`].
    pub fn unpin_shared(&self, extent: &Extent) {
        let mut shared = self.0.shared.borrow_mut();
        match shared.get_mut(extent) {
            Some(needed) if *needed > 1 => {
                *needed -= 1;
                self.count(extent.epoch, extent.weight(), true);
            }
            _ => drop(shared.remove(extent)),
        }
        drop(shared);
        self.unpin(extent, extent.weight());
    }

    /// Counts what a record in a segment weighs as needed, or not any more.
    fn count(&self, epoch: u64, weight: u64, needed: bool) {
        if let Some(used) = self.0.in_use.borrow_mut().get_mut(&epoch) {
            let change = |now: u64| if needed { now + weight } else { now - weight };
            used.live = change(used.live);
            self.0.live.set(change(self.0.live.get()));
        }
    }

    /// Keeps the segment of a record of message `holder` from being recycled.
    pub fn pin(&self, extent: &Extent, holder: MessageId, weight: u64) {
        self.0.largest.set(self.0.largest.get().max(weight));
        if let Some(used) = self.0.in_use.borrow_mut().get_mut(&extent.epoch) {
            used.pins += 1;
            used.holders.push(holder);
        }
        self.count(extent.epoch, weight, true);
    }

    /// Takes back one [`Log::pin`].
    pub fn unpin(&self, extent: &Extent, weight: u64) {
        if let Some(used) = self.0.in_use.borrow_mut().get_mut(&extent.epoch) {
            used.pins -= 1;
        }
        self.count(extent.epoch, weight, false);
        self.recycle();
        self.look_for_fragments();
    }

    /// Of what is pinned, so much is a copy on its way, or is not any more.
    pub fn count_copy(&self, weight: u64, on_its_way: bool) {
        let copies = self.0.copies.get();
        self.0.copies.set(if on_its_way { copies + weight } else { copies - weight });
    }

    /// Frees segments that nobody needs, oldest first, never the current one and never one behind a needed one.
    pub(super) fn recycle(&self) {
        if self.0.unread.get().is_some() {
            return;
        }
        let mut in_use = self.0.in_use.borrow_mut();
        let mut freed = false;
        while in_use.len() > 1
            && let Some(oldest) = in_use.first_entry()
            && oldest.get().pins == 0
            && oldest.get().readers == 0
        {
            let InUse { segment, untouchable, .. } = oldest.remove();
            self.0.octets_in_use.set(self.0.octets_in_use.get() - segment.octets);
            freed = true;
            if !untouchable {
                self.0.retired.borrow_mut().push_back(segment);
            }
        }
        drop(in_use);
        if freed {
            *self.0.freed_by.borrow_mut() = self.0.group.borrow().last();
            self.retire();
            self.0.segments_changed.ring();
        }
    }

    /// Makes freed segments free. One of a size that is no longer wanted is removed, durably, before any behind it.
    fn retire(&self) {
        loop {
            let mut retired = self.0.retired.borrow_mut();
            match retired.front() {
                Some(first) if first.octets == self.0.settings.segment_octets => {
                    self.0.free.borrow_mut().extend(retired.pop_front());
                    self.0.full.set(false);
                    self.0.room.ring();
                }
                Some(first) if !self.0.removing.replace(true) => {
                    let (log, path) = (self.clone(), segment::path(&self.0.directory, first.slot));
                    self.0.machine.spawn(Class::Delivery, async move { log.remove_retired(&path).await });
                    return;
                }
                _ => return,
            }
        }
    }

    async fn remove_retired(&self, path: &Path) {
        let disk = self.0.machine.disk();
        let freed_by = self.0.freed_by.borrow().clone();
        if let Some(ending) = freed_by
            && ending.get().await.is_err()
        {
            return;
        }
        let removed = match disk.remove(path).await {
            Ok(()) => disk.sync_directory(&self.0.directory).await,
            error => error,
        };
        if let Err(error) = removed {
            // It stays as it is; what is behind it is used again.
            (self.0.report)(LogEvent::NotRemoved(path.to_owned(), error));
        }
        self.0.retired.borrow_mut().pop_front();
        self.0.removing.set(false);
        self.retire();
        self.0.segments_changed.ring();
    }

    /// How the segments are used.
    pub fn usage(&self) -> Usage {
        let in_use = self.0.in_use.borrow();
        Usage {
            segment: self.0.settings.segment_octets,
            in_use: self.0.octets_in_use.get(),
            before: in_use.len().saturating_sub(1) as u64,
            live: self.0.live.get().saturating_sub(self.0.copies.get()),
            oldest: in_use.first_key_value().map_or(0, |(_, used)| used.live),
            current: in_use.last_key_value().map_or(0, |(_, used)| used.live),
            largest: self.0.largest.get(),
            free: self.0.free.borrow().len() as u64,
            room: self.0.group.borrow().room() as u64,
            short: self.0.full.get(),
        }
    }

    /// The segment of this incarnation is in use.
    pub fn is_in_use(&self, epoch: u64) -> bool {
        self.0.in_use.borrow().contains_key(&epoch)
    }

    /// Whether records are to be moved on now.
    pub fn is_fragmented(&self) -> bool {
        let turned = || {
            let in_use = self.0.in_use.borrow();
            compaction::turned(self.0.settings.segment_octets, in_use.values().map(|used| used.live))
        };
        !self.0.closed.get() && self.0.unread.get().is_none() && compaction::is_due(&self.usage(), turned)
    }

    pub(super) fn look_for_fragments(&self) {
        if self.is_fragmented() {
            self.0.fragmented.ring();
        }
    }

    /// Ends when it has become time to move records on.
    pub fn fragmented(&self) -> impl Future<Output = ()> {
        self.0.fragmented.heard()
    }

    /// The oldest segment's incarnation and whose records it holds, each named once; some of them are gone.
    pub fn oldest(&self) -> Option<(u64, Vec<MessageId>)> {
        let mut in_use = self.0.in_use.borrow_mut();
        let mut oldest = in_use.first_entry()?;
        let holders = &mut oldest.get_mut().holders;
        holders.sort_unstable();
        holders.dedup();
        let holders = holders.clone();
        Some((*oldest.key(), holders))
    }
}
