//! CF time and calendars.
