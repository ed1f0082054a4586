//! Joins the datasets of a series into one, or says in full why they cannot be joined. SPEC §7.
