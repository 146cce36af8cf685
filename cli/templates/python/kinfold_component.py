"""What the component exports: plugin.py between the types of the bindings and those of kinfold.py."""

from componentize_py_types import Err
from wit_world.exports import Resolver as Exported
from wit_world.exports import resolver

import kinfold
import plugin


class Resolver(Exported):
    def merge(self, ctx, siblings):
        try:
            context = kinfold.Context(ctx.bucket, ctx.key, ctx.config)
            return plugin.merge(context, [kinfold.Sibling(one.value, one.time) for one in siblings])
        except kinfold.InvalidSibling as invalid:
            error = resolver.MergeError_InvalidSibling((invalid.position, str(invalid)))
        except kinfold.KeepSiblings as why:
            error = resolver.MergeError_KeepSiblings(str(why))
        except Exception as fault:
            error = resolver.MergeError_Internal(f"{type(fault).__name__}: {fault}")
        raise Err(error)
