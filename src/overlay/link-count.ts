/**
 * How many names an indexed file has in the merged view, kept in the xattr overlay.nlink as Linux overlayfs keeps it
 * (fs/overlayfs/util.c, inode.c): a difference to the link count of the lower file ("L+0") or of the upper one ("U-1").
 * The one that an operation does not change is named before it, so that the count is right whether or not it happens.
 */

/** The value of overlay.nlink. */
export function encodeLinkCount(relativeTo: "L" | "U", difference: number): Buffer {
  return Buffer.from(`${relativeTo}${difference < 0 ? "" : "+"}${difference}`);
}

/** The number of names, from the value of overlay.nlink; undefined where it tells none. */
export function decodeLinkCount(
  value: Buffer | undefined,
  links: { readonly lower: number; readonly upper: number },
): number | undefined {
  const match = /^([LU])([+-]\d{1,9})$/.exec(value?.toString("latin1") ?? "");
  if (match === null) {
    return undefined;
  }
  const count = (match[1] === "L" ? links.lower : links.upper) + Number(match[2]);
  return count > 0 ? count : undefined;
}
