//! Lists that come in pages.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{BoxStream, Stream, StreamExt, TryStreamExt};

use crate::error::Error;

/// The items of a list, fetched page by page as they are taken. A stream that ends after its first error.
pub struct Pages<T>(BoxStream<'static, Result<T, Error>>);

/// One page and the token of the next one; an empty token after the last.
pub(crate) type Page<T> = (Vec<T>, String);

impl<T: Send + 'static> Pages<T> {
    /// Fetches pages with `fetch`, which gets the token of the page.
    pub(crate) fn new<F, A>(fetch: F) -> Pages<T>
    where
        F: Fn(String) -> A + Send + 'static,
        A: Future<Output = Result<Page<T>, Error>> + Send + 'static,
    {
        struct State<T, F> {
            fetch: F,
            items: VecDeque<T>,
            token: Option<String>,
        }
        let state = State { fetch, items: VecDeque::new(), token: Some(String::new()) };
        let items = futures_util::stream::try_unfold(state, |mut state| async move {
            loop {
                if let Some(item) = state.items.pop_front() {
                    return Ok(Some((item, state)));
                }
                let Some(token) = state.token.take() else { return Ok(None) };
                let (items, next) = (state.fetch)(token).await?;
                state.items = items.into();
                state.token = (!next.is_empty()).then_some(next);
            }
        });
        Pages(items.boxed())
    }

    /// All of them at once.
    ///
    /// # Errors
    /// The first page that cannot be read.
    pub async fn collect(self) -> Result<Vec<T>, Error> {
        self.0.try_collect().await
    }
}

impl<T> Stream for Pages<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pages")
    }
}
