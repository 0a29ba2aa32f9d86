//! What updates of everything with a name have in common.

use std::collections::HashMap;

use mesh::Caller;

use super::{convert::external_ids, mask::Mask};
use crate::{domain::etag::IfMatch, error::Error, store::Change};

/// What a message wants, as far as the mask lets it.
pub(super) fn change(
    mask: &Mask,
    name: String,
    ids: HashMap<String, String>,
    etag: String,
    by: Caller,
) -> Result<Change, Error> {
    let ids = mask.take("external_ids", ids);
    Ok(Change {
        name: mask.take("name", name),
        external_ids: ids.map(external_ids).transpose()?,
        if_match: IfMatch::of(etag),
        by,
    })
}
