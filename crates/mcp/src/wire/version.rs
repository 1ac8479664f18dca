//! Versions of the protocol, and the two eras they fall into.

/// The stateless version, negotiated by each request for itself.
pub(crate) const MODERN: &str = "2026-07-28";

/// Which rules hold for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    /// Versions that begin with `initialize`.
    Legacy(LegacyVersion),
    /// Versions in which each request stands for itself.
    Modern,
}

impl Era {
    /// Whether result content may hold links to resources, which came with 2025-06-18.
    pub(crate) fn has_resource_links(self) -> bool {
        match self {
            Self::Modern => true,
            Self::Legacy(version) => version >= LegacyVersion::V2025_06_18,
        }
    }

    /// Whether results may hold structured content, which came with 2025-06-18.
    pub(crate) fn has_structured_content(self) -> bool {
        self.has_resource_links()
    }
}

/// Versions with a handshake, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LegacyVersion {
    /// 2025-03-26.
    V2025_03_26,
    /// 2025-06-18.
    V2025_06_18,
    /// 2025-11-25.
    V2025_11_25,
}

impl LegacyVersion {
    /// What an unknown version is answered with.
    pub(crate) const NEWEST: Self = Self::V2025_11_25;
    /// What a client that names no version over HTTP is taken for. Source: MCP 2025-11-25, transports.
    pub(crate) const UNNAMED: Self = Self::V2025_03_26;
    const ALL: [Self; 3] = [Self::V2025_03_26, Self::V2025_06_18, Self::V2025_11_25];

    /// The version as it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
        }
    }

    /// The version of that name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == name)
    }

    /// The answer to a client that asks for `requested`.
    pub(crate) fn negotiate(requested: &str) -> Self {
        Self::parse(requested).unwrap_or(Self::NEWEST)
    }
}
