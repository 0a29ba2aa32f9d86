//! Lists of any length, page by page.

use tonic::Status;

use crate::{error::Failure, output::note};

/// Most that a service gives in one page.
const PAGE: u32 = 1_000;

pub(crate) struct Listed<T> {
    pub(crate) items: Vec<T>,
    /// The service has more than was asked for.
    pub(crate) more: bool,
}

impl<T> Listed<T> {
    pub(crate) fn note_more(&self) {
        if self.more {
            note("there are more: raise --limit");
        }
    }
}

#[derive(clap::Args)]
pub(crate) struct Limit {
    /// Most entries to list
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

impl Limit {
    /// Asks with (page size, page token) until the limit or the last page.
    pub(crate) async fn gather<T>(
        &self,
        mut page: impl AsyncFnMut(u32, String) -> Result<(Vec<T>, String), Status>,
    ) -> Result<Listed<T>, Failure> {
        let mut items = Vec::new();
        let mut token = String::new();
        loop {
            let left = self
                .limit
                .saturating_sub(u32::try_from(items.len()).unwrap_or(u32::MAX));
            let (mut next, next_token) = page(left.min(PAGE), token.clone()).await?;
            let over = next.len() > left as usize;
            next.truncate(left as usize);
            let full = next.len() == left as usize;
            items.append(&mut next);
            if next_token.is_empty() || full {
                return Ok(Listed {
                    items,
                    more: over || !next_token.is_empty(),
                });
            }
            if next_token == token {
                return Err(Failure::incomplete(
                    "a next page: it gives the same one again",
                ));
            }
            token = next_token;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn numbers(total: u32, limit: u32) -> Listed<u32> {
        Limit { limit }
            .gather(async |size, token| {
                let start: u32 = if token.is_empty() {
                    0
                } else {
                    token.parse().expect("ours")
                };
                let end = total.min(start + size.min(3));
                let next = if end < total {
                    end.to_string()
                } else {
                    String::new()
                };
                Ok(((start..end).collect(), next))
            })
            .await
            .expect("pages")
    }

    #[tokio::test]
    async fn pages_are_followed_up_to_the_limit() {
        let all = numbers(7, 100).await;
        assert_eq!((all.items, all.more), ((0..7).collect(), false));
        let some = numbers(7, 4).await;
        assert_eq!((some.items, some.more), ((0..4).collect(), true));
        let exact = numbers(6, 6).await;
        assert_eq!((exact.items.len(), exact.more), (6, false));
    }

    #[tokio::test]
    async fn a_page_without_end_is_a_fault() {
        let stuck = Limit { limit: 5 }
            .gather(async |_, _| Ok((Vec::<u32>::new(), "again".to_owned())))
            .await;
        assert!(stuck.is_err());
    }
}
