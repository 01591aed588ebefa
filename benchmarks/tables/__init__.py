"""From rows to leaderboards, pages and documents."""
