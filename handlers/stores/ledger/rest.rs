//! What becomes of a group when it is settled. SPEC §6; pure, for every store.

use jiff::Timestamp;

use super::{Counts, Fault, GroupState, SourceGroup, Verdict};

/// Whether a group whose member set is unchanged is to be left alone: combined, being combined under a lease that holds,
/// or refused by a combine. A newcomer that is rejected counts for nothing, yet disturbs.
pub(super) fn is_at_rest(
    state: GroupState,
    is_refused: bool,
    lease: Option<Timestamp>,
    counts: &Counts,
    now: Timestamp,
) -> bool {
    if counts.rejected > 0 {
        return false;
    }
    match state {
        GroupState::Combined => true,
        GroupState::Blocked => is_refused,
        GroupState::Combining => lease.is_some_and(|until| until > now),
        GroupState::Collecting | GroupState::Due | GroupState::Stale | GroupState::Failed => false,
    }
}

/// What a group waits for files as: once a source of it is gone it is known as stale, until it is complete again.
pub(super) const fn waiting(state: GroupState) -> GroupState {
    match state {
        GroupState::Stale => GroupState::Stale,
        _ => GroupState::Collecting,
    }
}

/// What a group is after it was judged.
#[derive(Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) state: GroupState,
    pub(super) quiet_until: Option<Timestamp>,
    pub(super) fault: Option<Fault>,
}

/// What a verdict makes of a group; `None` if it is that already.
pub(super) fn outcome(group: &SourceGroup, verdict: Verdict) -> Option<Outcome> {
    let (state, quiet_until, fault) = match verdict {
        Verdict::Collecting => (waiting(group.state), None, None),
        Verdict::QuietUntil(until) => (GroupState::Collecting, Some(until), None),
        Verdict::Due => (GroupState::Due, None, None),
        Verdict::Blocked(fault) => (GroupState::Blocked, None, Some(fault)),
    };
    let is_same = (state, quiet_until, fault.as_ref())
        == (group.state, group.quiet_until, group.fault.as_ref());
    (!is_same).then_some(Outcome {
        state,
        quiet_until,
        fault,
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[rstest]
    #[case(GroupState::Combined, false, None, true)]
    #[case::by_a_member(GroupState::Blocked, false, None, false)]
    #[case::by_a_combine(GroupState::Blocked, true, None, true)]
    #[case::lease_holds(GroupState::Combining, false, Some(Timestamp::MAX), true)]
    #[case::lease_ran_out(GroupState::Combining, false, Some(NOW), false)]
    #[case::no_lease(GroupState::Combining, false, None, false)]
    #[case(GroupState::Collecting, true, Some(Timestamp::MAX), false)]
    #[case(GroupState::Due, true, Some(Timestamp::MAX), false)]
    #[case(GroupState::Stale, true, Some(Timestamp::MAX), false)]
    #[case(GroupState::Failed, true, Some(Timestamp::MAX), false)]
    fn groups_at_rest_are_left_alone(
        #[case] state: GroupState,
        #[case] is_refused: bool,
        #[case] lease: Option<Timestamp>,
        #[case] expected: bool,
    ) {
        let mut counts = Counts {
            members: 1,
            referenced: 1,
            rejected: 0,
            last_landed: None,
        };
        assert_eq!(is_at_rest(state, is_refused, lease, &counts, NOW), expected);
        counts.rejected = 1;
        assert!(!is_at_rest(state, is_refused, lease, &counts, NOW));
    }
}
