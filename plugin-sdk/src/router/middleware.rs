//! What runs around routes.

use crate::{Call, Fault};

pub(super) type Middleware = Box<dyn Fn(&Call, Next) -> Result<(), Fault>>;

/// What is inside a middleware: those after it, and then the route itself.
#[must_use = "without `run` the message is not handled"]
pub struct Next<'a> {
    pub(super) middleware: &'a [Middleware],
    pub(super) route: &'a dyn Fn(&Call) -> Result<(), Fault>,
}

impl Next<'_> {
    /// Runs it: the payload is read, the route's function called, its answer made ready. The answer leaves when the
    /// outermost middleware has returned `Ok`.
    pub fn run(self, call: &Call) -> Result<(), Fault> {
        match self.middleware.split_first() {
            None => (self.route)(call),
            Some((first, middleware)) => first(call, Next { middleware, ..self }),
        }
    }
}

/// A middleware: lets only connections with a [`User`](crate::User) through, others get the fault `unauthorized`.
pub fn require_user(call: &Call, next: Next) -> Result<(), Fault> {
    call.user()?;
    next.run(call)
}

/// A middleware: lets only users with that role through, others get the fault `unauthorized` or `forbidden`.
///
/// ```no_run
/// # use tidegate_sdk::{Call, Fault, Router, Routes, require_role};
/// # struct Admin;
/// # fn kick(_: &Call, _: String) -> Result<(), Fault> { Ok(()) }
/// # impl Routes for Admin {
/// fn routes(router: &mut impl Router) {
///     router.with(require_role("admin")).on("kick", kick);
/// }
/// # }
/// ```
pub fn require_role(role: &'static str) -> impl Fn(&Call, Next) -> Result<(), Fault> {
    move |call, next| {
        call.require_role(role)?;
        next.run(call)
    }
}
