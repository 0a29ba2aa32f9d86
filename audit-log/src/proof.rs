//! Paths from an entry, or from an earlier tree, to a signed root.

use tlog_tiles::{EMPTY_HASH, Hash, check_record, check_tree, record_hash};

use crate::Head;

/// Whether the path leads from the entry to the root (RFC 6962 section 2.1.1).
pub fn is_included(head: Head, number: u64, payload: &[u8], path: &[Hash]) -> bool {
    let leaf = record_hash(payload);
    check_record(&path.to_vec(), head.size, head.root, number, leaf).is_ok()
}

/// Whether the later tree begins with the earlier one (RFC 6962 section 2.1.2).
pub fn follows(later: Head, earlier: Head, path: &[Hash]) -> bool {
    if earlier.size == 0 {
        return earlier.root == EMPTY_HASH;
    }
    check_tree(
        &path.to_vec(),
        later.size,
        later.root,
        earlier.size,
        earlier.root,
    )
    .is_ok()
}

/// A hash of 32 bytes.
pub fn hash(bytes: &[u8]) -> Option<Hash> {
    bytes.try_into().ok().map(Hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tree;

    #[test]
    fn what_is_proved_is_what_was_signed() {
        let payload = |number: u64| format!("entry {number}").into_bytes();
        let mut tree = Tree::default();
        let mut heads = vec![];
        for number in 0..600 {
            let (size, root) = (tree.size(), tree.root().expect("a root"));
            heads.push(Head { size, root });
            tree.push(record_hash(&payload(number)));
        }
        let (size, root) = (tree.size(), tree.root().expect("a root"));
        let head = Head { size, root };
        let path = tree.tiles().inclusion(size, 417).expect("a proof");
        assert!(is_included(head, 417, &payload(417), &path));
        assert!(!is_included(head, 416, &payload(417), &path));
        assert!(!is_included(head, 417, &payload(418), &path));
        assert!(!is_included(head, 600, &payload(417), &path));
        for earlier in [0, 1, 255, 256, 257, 599] {
            let path = tree.tiles().consistency(size, earlier).expect("a proof");
            let earlier = heads[earlier as usize];
            assert!(follows(head, earlier, &path), "{}", earlier.size);
            let forged = Head {
                root: record_hash(b"x"),
                ..earlier
            };
            assert!(!follows(head, forged, &path), "{}", earlier.size);
        }
        assert!(follows(head, head, &[]));
        let longer = Head { size: 601, root };
        assert!(!follows(head, longer, &[]));
        assert!(hash(&[0; 31]).is_none() && hash(&[0; 32]).is_some());
    }
}
