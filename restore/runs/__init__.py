"""What happens between a command and the folder it leaves: plan, solve, judge, write; resumable, never half-written."""
