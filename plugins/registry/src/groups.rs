//! Groups of connections.

use std::collections::BTreeSet;

use tidegate_sdk::{Call, Fault, Result, TopicError};

use crate::messages::{Delivered, Group, Size, ToGroup};
use crate::{deliver, users_in};

pub(crate) fn send(call: &Call, given: ToGroup) -> Result<Delivered, Fault> {
    deliver(call, &topic_of(&given.group), &given.data, &given.except)
}

pub(crate) fn join(call: &Call, Group { group }: Group) -> Result<Size, Fault> {
    let too_many = |error: TopicError| Fault::new("too-many-groups", error.to_string());
    let (topic, user) = (topic_of(&group), call.user()?);
    call.subscribe_as(&topic, &user.id).map_err(too_many)?;
    Ok(Size::of(&topic))
}

pub(crate) fn leave(call: &Call, Group { group }: Group) -> Result<Size, Fault> {
    call.unsubscribe(&topic_of(&group))?;
    Ok(Size::of(&topic_of(&group)))
}

pub(crate) fn size(_: &Call, Group { group }: Group) -> Result<Size, Fault> {
    Ok(Size::of(&topic_of(&group)))
}

pub(crate) fn list(_: &Call, Group { group }: Group) -> Result<BTreeSet<String>, Fault> {
    Ok(users_in(&topic_of(&group)))
}

fn topic_of(group: &str) -> String {
    format!("group:{group}")
}
