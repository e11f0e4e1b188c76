//! Tables, from the views that servers answer with. Pure: the same view and instant give the same text.

pub(crate) mod job;
pub(crate) mod node;
pub(crate) mod operator;
pub(crate) mod run;
pub(crate) mod tenant;
