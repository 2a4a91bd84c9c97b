// Runs before the page is painted, so that the chosen theme does not flash. Without a choice the system's is taken.
try {
  const theme = JSON.parse(localStorage.getItem("gateway.theme"));
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // No storage, no choice.
}
