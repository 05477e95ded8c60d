//! Compiled code of a component, as wasmtime writes it and runs it.

use wasmtime::component::Component;

/// Compiled code from a source that is trusted: our own compiler or our own cache.
pub(super) struct Code(Vec<u8>);

impl Code {
    /// Code that `source` vouches for.
    ///
    /// # Trust
    /// Code is run as it is. Only two places call this: the compiler, for what its process wrote to
    /// the pipe between them, and the cache, for a file whose key it has checked.
    pub(super) fn trusted(source: Vec<u8>) -> Self {
        Self(source)
    }

    /// The bytes, to be kept.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The component that the code is of. An error if it was compiled for another engine.
    #[expect(unsafe_code, reason = "loading compiled code is what it is for")]
    pub(super) fn load(&self, engine: &wasmtime::Engine) -> wasmtime::Result<Component> {
        // SAFETY: the bytes must come unchanged from wasmtime's compiler. Every `Code` was made by
        // `trusted`: by the compiler, whose process is this very program, started by us and spoken
        // to over a pipe that nobody else has; or by the cache, which reads only files that are
        // ours alone, in a folder that is ours alone, and whose end proves that we wrote them.
        // Wasmtime itself compares version and settings of the engine.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}
