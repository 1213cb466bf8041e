//! Bindings of slots, routes, placement and patterns, for control and tests; publishing stays in the core.
use std::sync::{Arc, Mutex, MutexGuard};

use pyo3::exceptions::{PyIndexError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyBytes;
use sprawl_core::hashring;
use sprawl_core::limits::{ROUTES_COUNT_MAX, SLOTS_COUNT};
use sprawl_core::route::{self, Route};
use sprawl_core::slots::{self, SlotEntry, NO_LEADER};
use sprawl_core::trie;

/// (leader or None, epoch, replicas, bits of the replicas in sync)
type Entry = (Option<u16>, u32, Vec<u16>, u8);

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<SlotTable>()?;
    module.add_class::<RouteCache>()?;
    module.add_class::<HashRing>()?;
    module.add_class::<TopicTrie>()?;
    module.add_function(wrap_pyfunction!(valid_pattern, module)?)?;
    module.add_function(wrap_pyfunction!(pattern_matches, module)?)
}

/// The guard of an object whose last user did not panic.
fn lock<T>(mutex: &Mutex<T>) -> PyResult<MutexGuard<'_, T>> {
    mutex.lock().map_err(|_| PyRuntimeError::new_err("the object is poisoned: an earlier call panicked"))
}

fn invalid(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn known_slot(slot: u16) -> PyResult<u16> {
    if usize::from(slot) < SLOTS_COUNT {
        return Ok(slot);
    }
    Err(PyIndexError::new_err(format!("slot {slot} is not below slots_count {SLOTS_COUNT}")))
}

fn led_by(leader: u16) -> Option<u16> {
    (leader != NO_LEADER).then_some(leader)
}

#[pyclass(frozen, module = "sprawl._native")]
pub struct SlotTable(pub Arc<slots::SlotTable>);

#[pymethods]
impl SlotTable {
    #[new]
    fn new(members: Vec<String>, entries: Vec<Entry>, table_epoch: u64) -> PyResult<Self> {
        let entries: Vec<SlotEntry> = entries
            .into_iter()
            .map(|(leader, epoch, replicas, in_sync)| {
                let leader = leader.unwrap_or(NO_LEADER);
                SlotEntry { leader, epoch, replicas, in_sync }
            })
            .collect();
        let members = members.into_iter().map(Into::into).collect();
        slots::SlotTable::new(members, &entries, table_epoch)
            .map(|table| Self(Arc::new(table)))
            .map_err(invalid)
    }

    #[staticmethod]
    fn single(member: &str, epoch: u32) -> PyResult<Self> {
        slots::SlotTable::single(member, epoch).map(|table| Self(Arc::new(table))).map_err(invalid)
    }

    #[staticmethod]
    fn decode(data: &[u8]) -> PyResult<Self> {
        slots::SlotTable::decode(data).map(|table| Self(Arc::new(table))).map_err(invalid)
    }

    fn encode<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.encode())
    }

    fn leader(&self, slot: u16) -> PyResult<Option<u16>> {
        known_slot(slot).map(|slot| led_by(self.0.leader(slot)))
    }

    fn leader_id(&self, slot: u16) -> PyResult<Option<&str>> {
        known_slot(slot).map(|slot| self.0.leader_id(slot))
    }

    fn epoch(&self, slot: u16) -> PyResult<u32> {
        known_slot(slot).map(|slot| self.0.epoch(slot))
    }

    fn entries(&self) -> Vec<Entry> {
        let entries = (0u16..).take(SLOTS_COUNT).map(|slot| self.0.entry(slot));
        entries.map(|entry| (led_by(entry.leader), entry.epoch, entry.replicas, entry.in_sync)).collect()
    }

    fn member(&self, node_id: &str) -> Option<u16> {
        self.0.member(node_id)
    }

    #[getter]
    fn members(&self) -> Vec<&str> {
        self.0.members().iter().map(AsRef::as_ref).collect()
    }

    #[getter]
    fn table_epoch(&self) -> u64 {
        self.0.table_epoch()
    }

    fn __eq__(&self, other: PyRef<'_, Self>) -> bool {
        self.0 == other.0
    }
}

#[pyclass(frozen, module = "sprawl._native")]
pub struct RouteCache(Mutex<route::RouteCache>);

#[pymethods]
impl RouteCache {
    #[new]
    #[pyo3(signature = (routes = ROUTES_COUNT_MAX))]
    fn new(routes: usize) -> PyResult<Self> {
        if routes > ROUTES_COUNT_MAX {
            let bound = format!("a cache of {routes} routes exceeds routes_count_max {ROUTES_COUNT_MAX}");
            return Err(PyValueError::new_err(bound));
        }
        Ok(Self(Mutex::new(route::RouteCache::new(routes))))
    }

    fn get(&self, name: &[u8], name_hash: u64, table_epoch: u64) -> PyResult<Option<(u32, u16, u16)>> {
        let route = lock(&self.0)?.get(name, name_hash, table_epoch);
        Ok(route.map(|route| (route.topic, route.slot0, route.leader)))
    }

    fn put(&self, name: &[u8], name_hash: u64, table_epoch: u64, route: (u32, u16, u16)) -> PyResult<()> {
        let (topic, slot0, leader) = route;
        known_slot(slot0)?;
        lock(&self.0)?.put(name, name_hash, table_epoch, Route { topic, slot0, leader });
        Ok(())
    }

    fn remove(&self, name: &[u8], name_hash: u64) -> PyResult<bool> {
        Ok(lock(&self.0)?.remove(name, name_hash))
    }

    fn invalidate(&self, topic: u32) -> PyResult<usize> {
        Ok(lock(&self.0)?.invalidate(topic))
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(lock(&self.0)?.len())
    }

    #[getter]
    fn capacity(&self) -> PyResult<usize> {
        Ok(lock(&self.0)?.capacity())
    }

    #[getter]
    fn hits(&self) -> PyResult<u64> {
        Ok(lock(&self.0)?.hits())
    }

    #[getter]
    fn misses(&self) -> PyResult<u64> {
        Ok(lock(&self.0)?.misses())
    }
}

#[pyclass(frozen, module = "sprawl._native")]
pub struct HashRing(hashring::HashRing);

#[pymethods]
impl HashRing {
    #[new]
    fn new(members: Vec<(String, u32)>) -> PyResult<Self> {
        hashring::HashRing::new(&members).map(Self).map_err(invalid)
    }

    #[pyo3(signature = (replicas, *, epsilon_permille))]
    fn placement(&self, py: Python<'_>, replicas: usize, epsilon_permille: u32) -> PyResult<Vec<Vec<u16>>> {
        py.detach(|| self.0.placement(replicas, epsilon_permille)).map_err(invalid)
    }
}

#[pyclass(frozen, module = "sprawl._native")]
pub struct TopicTrie(Mutex<trie::TopicTrie<u64>>);

#[pymethods]
impl TopicTrie {
    #[new]
    fn new() -> Self {
        Self(Mutex::new(trie::TopicTrie::new()))
    }

    /// All or nothing: every pattern is checked before the first is added.
    fn insert(&self, items: Vec<(PyBackedStr, u64)>) -> PyResult<usize> {
        if let Some((pattern, _)) = items.iter().find(|(pattern, _)| !trie::valid_pattern(pattern.as_bytes()))
        {
            return Err(PyValueError::new_err(format!("{pattern:?} is {}", trie::InvalidPattern)));
        }
        let mut trie = lock(&self.0)?;
        let mut added = 0;
        for (pattern, id) in items {
            added += usize::from(trie.insert(pattern.as_bytes(), id).map_err(invalid)?);
        }
        Ok(added)
    }

    fn remove(&self, items: Vec<(PyBackedStr, u64)>) -> PyResult<usize> {
        let mut trie = lock(&self.0)?;
        Ok(items.iter().filter(|(pattern, id)| trie.remove(pattern.as_bytes(), *id)).count())
    }

    fn matches(&self, topics: Vec<PyBackedStr>) -> PyResult<Vec<Vec<u64>>> {
        let trie = lock(&self.0)?;
        Ok(topics.iter().map(|topic| trie.matches(topic.as_bytes())).collect())
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(lock(&self.0)?.len())
    }

    #[getter]
    fn node_count(&self) -> PyResult<usize> {
        Ok(lock(&self.0)?.node_count())
    }
}

#[pyfunction]
fn valid_pattern(pattern: &str) -> bool {
    trie::valid_pattern(pattern.as_bytes())
}

#[pyfunction]
fn pattern_matches(pattern: &str, topic: &str) -> bool {
    trie::pattern_matches(pattern.as_bytes(), topic.as_bytes())
}
