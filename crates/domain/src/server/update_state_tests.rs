//! The contract's three tables as data, over every input.

use super::*;
use Maintenance as M;
use ServerStatus as S;
use StatusDetail as D;
use UpdateState as U;

/// Every combination of inputs.
fn all() -> Vec<UpdateInputs> {
    let mut out = Vec::new();
    for &status in S::ALL {
        for &detail in D::ALL {
            for &in_maintenance in M::ALL {
                for bits in 0..8 {
                    let (needs_update, needs_reboot, clustered_incus) = (bits & 1 > 0, bits & 2 > 0, bits & 4 > 0);
                    out.push(UpdateInputs {
                        status,
                        detail,
                        needs_update,
                        needs_reboot,
                        in_maintenance,
                        clustered_incus,
                    });
                }
            }
        }
    }
    assert_eq!(out.len(), 5 * 10 * 4 * 8);
    out
}

type Row<T> = (u8, fn(&UpdateInputs) -> bool, T);

/// `servers.md` 10.1, first match wins.
const DECISIONS: [Row<U>; 17] = [
    (1, |i| matches!(i.status, S::Unknown | S::Pending), U::Undefined),
    (
        2,
        |i| i.status == S::Offline && i.detail == D::Rebooting && i.in_maintenance == M::Evacuated,
        U::InMaintenanceRebooting,
    ),
    (3, |i| i.status == S::Offline && i.detail == D::Rebooting, U::Rebooting),
    (4, |i| i.detail == D::Updating, U::Updating),
    (5, |i| i.detail == D::UpdatingApplication, U::Undefined),
    (
        6,
        |i| {
            let fine = (i.status == S::Ready && i.detail == D::None) || i.status == S::Offline;
            !i.needs_update && !i.needs_reboot && i.in_maintenance == M::None && fine
        },
        U::UpToDate,
    ),
    (7, |i| i.needs_update, U::UpdatePending),
    (8, |i| i.in_maintenance == M::Evacuating, U::Evacuating),
    (9, |i| i.in_maintenance == M::Restoring, U::Restoring),
    (10, |i| i.detail == D::Restoring && i.in_maintenance == M::None, U::PostRestore),
    (11, |i| i.detail == D::Restoring, U::Restoring),
    (12, |i| i.needs_reboot && !i.clustered_incus && i.in_maintenance == M::None, U::RebootPending),
    (13, |i| i.needs_reboot && !i.clustered_incus, U::Undefined),
    (14, |i| i.needs_reboot && i.clustered_incus && i.in_maintenance == M::None, U::EvacuationPending),
    (15, |i| i.needs_reboot && i.clustered_incus && i.in_maintenance == M::Evacuated, U::InMaintenanceRebootPending),
    (16, |i| i.in_maintenance == M::Evacuated, U::InMaintenanceRestorePending),
    (17, |_| true, U::Undefined),
];

/// `servers.md` 10.3, first match wins.
const ACTIONS: [Row<RecommendedAction>; 9] = [
    (1, |i| i.status != S::Ready, RecommendedAction::None),
    (2, |i| matches!(i.detail, D::Updating | D::UpdatingApplication), RecommendedAction::None),
    (3, |i| i.needs_update, RecommendedAction::Update),
    (4, |i| i.needs_reboot && !i.clustered_incus && i.in_maintenance == M::None, RecommendedAction::Reboot),
    (5, |i| i.needs_reboot && i.in_maintenance == M::None, RecommendedAction::Evacuate),
    (6, |i| i.needs_reboot && i.in_maintenance == M::Evacuated, RecommendedAction::Reboot),
    (7, |i| i.needs_reboot, RecommendedAction::None),
    (8, |i| i.in_maintenance == M::Evacuated, RecommendedAction::Restore),
    (9, |_| true, RecommendedAction::None),
];

/// The first row that matches.
fn first<T: Copy>(rows: &[Row<T>], i: &UpdateInputs) -> (u8, T) {
    rows.iter().find(|row| row.1(i)).map(|row| (row.0, row.2)).unwrap()
}

#[test]
fn the_state_is_the_decision_lists_over_every_input() {
    let mut used = std::collections::BTreeSet::new();
    for i in all() {
        let (row, state) = first(&DECISIONS, &i);
        used.insert(row);
        assert_eq!(update_state(i), state, "row {row}: {i:?}");
    }
    assert_eq!(used.into_iter().collect::<Vec<_>>(), (1..=17).collect::<Vec<_>>());
}

#[test]
fn the_action_is_the_action_lists_over_every_input() {
    let mut used = std::collections::BTreeSet::new();
    for i in all() {
        let (row, action) = first(&ACTIONS, &i);
        used.insert(row);
        assert_eq!(recommended_action(i), action, "row {row}: {i:?}");
    }
    assert_eq!(used.into_iter().collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
}

/// `servers.md` 10.2 for no update due: reboot due, clustered (none: any), maintenance, then the state for ready
/// without detail, ready evacuating, ready restoring, unregistered, and the action.
type TruthRow = (bool, Option<bool>, M, [&'static str; 4], &'static str);
const TRUTH: [TruthRow; 12] = [
    (false, None, M::None, ["up to date", "undefined", "post restore", "undefined"], ""),
    (false, None, M::Evacuating, ["evacuating", "evacuating", "evacuating", "evacuating"], ""),
    (
        false,
        None,
        M::Evacuated,
        [
            "in maintenance, restore pending",
            "in maintenance, restore pending",
            "restoring",
            "in maintenance, restore pending",
        ],
        "restore",
    ),
    (false, None, M::Restoring, ["restoring", "restoring", "restoring", "restoring"], ""),
    (true, Some(false), M::None, ["reboot pending", "reboot pending", "post restore", "reboot pending"], "reboot"),
    (true, Some(false), M::Evacuating, ["evacuating", "evacuating", "evacuating", "evacuating"], ""),
    (true, Some(false), M::Evacuated, ["undefined", "undefined", "restoring", "undefined"], "reboot"),
    (true, Some(false), M::Restoring, ["restoring", "restoring", "restoring", "restoring"], ""),
    (
        true,
        Some(true),
        M::None,
        ["evacuation pending", "evacuation pending", "post restore", "evacuation pending"],
        "evacuate",
    ),
    (true, Some(true), M::Evacuating, ["evacuating", "evacuating", "evacuating", "evacuating"], ""),
    (
        true,
        Some(true),
        M::Evacuated,
        [
            "in maintenance, reboot pending",
            "in maintenance, reboot pending",
            "restoring",
            "in maintenance, reboot pending",
        ],
        "reboot",
    ),
    (true, Some(true), M::Restoring, ["restoring", "restoring", "restoring", "restoring"], ""),
];

/// The column of the truth table an input belongs to; none when the table says nothing about it.
fn column(i: &UpdateInputs) -> Option<usize> {
    match (i.status, i.detail) {
        (S::Ready, D::None) | (S::Offline, D::ShutDown | D::Unresponsive) => Some(0),
        (S::Ready, D::Evacuating) => Some(1),
        (S::Ready, D::Restoring) => Some(2),
        (S::Unregistered, D::None) => Some(3),
        _ => None,
    }
}

/// The two lists and the truth table agree wherever the table speaks. About an update that is due the table
/// speaks for ready servers only; for the others the list holds (offline rebooting stays `rebooting`).
#[test]
fn the_truth_table_agrees_with_the_lists() {
    let mut compared = 0;
    for i in all() {
        if i.needs_update {
            if i.status == S::Ready && !matches!(i.detail, D::Updating | D::UpdatingApplication) {
                assert_eq!(
                    (update_state(i).as_str(), recommended_action(i).as_str()),
                    ("update pending", "update"),
                    "{i:?}"
                );
            }
            continue;
        }
        let Some(column) = column(&i) else { continue };
        let row = TRUTH.iter().find(|(reboot, clustered, maintenance, ..)| {
            *reboot == i.needs_reboot
                && clustered.is_none_or(|c| c == i.clustered_incus)
                && *maintenance == i.in_maintenance
        });
        let (_, _, _, states, action) = row.unwrap();
        assert_eq!(update_state(i).as_str(), states[column], "{i:?}");
        if i.status == S::Ready {
            assert_eq!(recommended_action(i).as_str(), *action, "{i:?}");
        }
        compared += 1;
    }
    assert_eq!(compared, 6 * 16);
    let rebooting = UpdateInputs {
        status: S::Offline,
        detail: D::Rebooting,
        needs_update: true,
        needs_reboot: false,
        in_maintenance: M::None,
        clustered_incus: false,
    };
    assert_eq!(update_state(rebooting), U::Rebooting);
}

#[test]
fn serde_writes_the_wire_text() {
    for i in all() {
        assert_eq!(serde_json::to_value(update_state(i)).unwrap(), update_state(i).as_str());
        assert_eq!(serde_json::to_value(recommended_action(i)).unwrap(), recommended_action(i).as_str());
    }
}
