/** The forms in which uppers hold whiteouts and opaque directories where a file system can't hold the usual ones (decision 0017). */
import type { TreeDescription } from "../support/tree.ts";
import type { Lacking } from "./faults.ts";

/** Character devices 0:0; empty files with an xattr; files `.wh.NAME`, with `.wh..wh..opq` in opaque directories. */
export type WhiteoutForm = "device" | "xattr" | "beside";

type Node = TreeDescription["children"][string];

export const marks = { whiteout: "trusted.overlay.whiteout", opaque: "trusted.overlay.opaque" } as const;
const emptyFile = { kind: "file", size: 0, data: [] } as const satisfies Node;

/** What Veneer chooses where the upper's file system lacks this. */
export function formWithout(lacking: Lacking): WhiteoutForm {
  switch (lacking) {
    case "nothing":
    case "RENAME_WHITEOUT":
      return "device";
    case "whiteout devices":
      return "xattr";
    case "whiteout devices and marks":
      return "beside";
  }
}

/** The tree of an upper, whose whiteouts are devices, in another form. */
export function inForm(tree: TreeDescription, form: WhiteoutForm): TreeDescription {
  if (form === "device") {
    return tree;
  }
  const isHere = Object.values(tree.children).some(isWhiteout);
  const { [marks.opaque]: opaque, ...xattrs } = tree.xattrs ?? {};
  const children = Object.entries(tree.children).map(([name, node]): [string, Node] => {
    if (isWhiteout(node)) {
      return form === "beside"
        ? [`.wh.${name}`, emptyFile]
        : [name, { ...emptyFile, xattrs: { [marks.whiteout]: "y" } }];
    }
    return [name, node.kind === "dir" ? inForm(node, form) : node];
  });
  if (form === "beside") {
    const opaqueFile: [string, Node][] = opaque === undefined ? [] : [[".wh..wh..opq", emptyFile]];
    return { ...tree, xattrs, children: Object.fromEntries([...children, ...opaqueFile]) };
  }
  const mark = opaque ?? (isHere ? "x" : undefined);
  return {
    ...tree,
    xattrs: { ...xattrs, ...(mark !== undefined && { [marks.opaque]: mark }) },
    children: Object.fromEntries(children),
  };
}

function isWhiteout(node: Node): boolean {
  return node.kind === "char" && node.device?.every((number) => number === 0) === true;
}
