"""The verdicts on groups and what is written there."""

from collections.abc import Collection, Mapping

from tests.simulation.model.facts import Facts, Group, Post, Verdict, granted


class Grouping(Facts):
    """Many readers, epoch after epoch."""

    def stage(
        self, id: str, by: str, epoch: int, batch: str, members: Mapping[str, int], over: Mapping[str, str]
    ) -> Verdict:
        """What an admin prepares; of each member the number of their identity's record.

        Args:
            over: the connections with who is new.
        """
        group = self.groups.get(id, Group())
        if (group.epoch and group.role(by) != "admin") or epoch != group.epoch + 1 or group.left & members.keys():
            return "refused"
        for who, head in members.items():
            if (
                who not in group.roles
                and who != by
                and not (who in over and self.connections[over[who]].joins(by, who))
            ):
                return "refused"
            if head not in (group.heads.get(who), self.heads.get(who)):
                return "refused"
        self.groups.setdefault(id, group).staged[by] = batch
        return "accepted"

    def advance(
        self,
        id: str,
        by: str,
        epoch: int,
        batch: str,
        line: int,
        members: Mapping[str, int],
        roles: Mapping[str, str],
        dropped: Collection[str],
        *,
        renewed: bool,
    ) -> Verdict:
        """The epoch that was prepared; it has a new key where somebody is dropped.

        Args:
            members: who was prepared, with the number of their record.
            roles: those that somebody has from now on.
        """
        group = self.groups.get(id, Group())
        if not granted(
            group.staged.get(by) == batch,
            group.epoch == 0 or group.role(by) == "admin",
            epoch == group.epoch + 1,
            line == group.line,
            set(dropped) <= group.roles.keys(),
            set(dropped) >= group.left,
            renewed or not dropped,
        ):
            return "refused"
        group.staged.clear()
        group.epoch = epoch
        group.key = epoch if renewed else group.key
        group.claimed -= members.keys()
        group.roles = {who: role for who, role in group.roles.items() if who not in dropped} | dict(roles)
        group.heads |= members
        group.left -= set(dropped)
        return "accepted"

    def claim_group(self, id: str, by: str, key: int) -> Verdict:
        """A member, the key of now."""
        group = self.groups[id]
        if not group.role(by) or key != group.key:
            return "refused"
        if by in group.claimed:
            return "ignored"
        group.claimed.add(by)
        return "accepted"

    def leave(self, id: str, by: str, epoch: int) -> Verdict:
        """A member; the last admin may not leave others behind."""
        group = self.groups[id]
        if by in group.left:
            return "ignored"
        rest = [who for who in group.roles if group.role(who) and who != by]
        last = group.role(by) == "admin" and bool(rest) and not any(group.role(who) == "admin" for who in rest)
        if not group.role(by) or epoch != group.epoch or last:
            return "refused"
        group.left.add(by)
        group.staged.pop(by, None)
        return "accepted"

    def post(self, id: str, by: str, epoch: int, line: int, post: str, version: int, secret: str) -> Verdict:
        """Who writes, the next number of the line."""
        group, found = self.groups[id], self.posts.get(post, Post(id, by, 0, ""))
        if not granted(
            group.role(by) in ("admin", "writer"),
            (epoch, line) == (group.epoch, group.line + 1),
            (found.group, found.author, found.version + 1) == (id, by, version),
            found.secret is not None,
        ):
            return "refused"
        group.line = line
        self.posts[post] = Post(id, by, version, secret)
        return "accepted"

    def take_back(self, id: str, by: str, epoch: int, line: int, post: str, version: int) -> Verdict:
        """Its author, or an admin."""
        group, found = self.groups[id], self.posts.get(post)
        if not group.role(by) or epoch != group.epoch or found is None or found.group != id:
            return "refused"
        if by != found.author and group.role(by) != "admin":
            return "refused"
        if found.secret is None:
            return "ignored"
        if line != group.line + 1 or version != found.version:
            return "refused"
        group.line, found.secret = line, None
        return "accepted"
