"""Attention processors as people write them, and what each of their calls was given."""

import torch
import torch.nn.functional as F


def in_heads(attn, tensor):
    return tensor.unflatten(-1, (attn.heads, -1)).transpose(1, 2)


class Written:
    """A processor in the shape of diffusers' own; children say how attention is computed.

    `seen` holds the float64 softmax of what each module was meant to be given, in the order in which modules ran.
    """

    def __init__(self):
        self.seen = []

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **_):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q = in_heads(attn, attn.to_q(hidden_states))
        k, v = (in_heads(attn, make(context)) for make in (attn.to_k, attn.to_v))
        out = self.attend(attn, q, k, v, is_self=encoder_hidden_states is None)
        out = out.transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](out))

    def note(self, q, k):
        scores = q.double() @ k.double().mT * q.shape[-1] ** -0.5
        self.seen.append(scores.softmax(-1))

    def attend(self, attn, q, k, v, *, is_self):
        self.note(q, k)
        return F.scaled_dot_product_attention(q, k, v)


class QueryOverwritten(Written):
    """The query's memory is used again for the result."""

    def attend(self, attn, q, k, v, *, is_self):
        out = super().attend(attn, q, k, v, is_self=is_self)
        q.copy_(out)
        k.zero_()
        return out


class WarmUp(Written):
    """A call for something else first."""

    def attend(self, attn, q, k, v, *, is_self):
        F.scaled_dot_product_attention(q.flip(-2), k * 0.5, v)
        return super().attend(attn, q, k, v, is_self=is_self)


class LooksAtItsShape(WarmUp):
    """A call for something else, of whose result only the shape is used."""

    def attend(self, attn, q, k, v, *, is_self):
        other = F.scaled_dot_product_attention(q.flip(-2), k * 0.5, v)
        assert other.shape == q.shape
        return Written.attend(self, attn, q, k, v, is_self=is_self)


class QueryChunks(Written):
    """Queries in two slices over the same keys, as memory-saving attention takes them."""

    def attend(self, attn, q, k, v, *, is_self):
        self.note(q, k)
        half = q.shape[2] // 2
        parts = (q[:, :, :half], q[:, :, half:])
        return torch.cat(
            [F.scaled_dot_product_attention(part, k, v) for part in parts if part.shape[2]], dim=2
        )


class RowByRow(Written):
    """Each row of the batch by itself."""

    def attend(self, attn, q, k, v, *, is_self):
        self.note(q, k)
        rows = zip(q.split(1), k.split(1), v.split(1), strict=True)
        return torch.cat([F.scaled_dot_product_attention(*row) for row in rows])


class KeysInTwoParts(Written):
    """Two calls over parts of the keys, mixed: neither is the layer's softmax."""

    def attend(self, attn, q, k, v, *, is_self):
        half = k.shape[2] // 2
        parts = ((k[:, :, :half], v[:, :, :half]), (k[:, :, half:], v[:, :, half:]))
        return sum(F.scaled_dot_product_attention(q, *part) for part in parts) / 2


class StyleAligned(Written):
    """Every row also sees the first row's keys."""

    first = False

    def attend(self, attn, q, k, v, *, is_self):
        if is_self:
            both = [k, k[:1].expand_as(k)], [v, v[:1].expand_as(v)]
            k, v = (torch.cat(pair[::-1] if self.first else pair, dim=2) for pair in both)
        return super().attend(attn, q, k, v, is_self=is_self)


class ReferenceFirst(StyleAligned):
    first = True


class CrossFrame(Written):
    """Every row sees the first row's keys alone."""

    def attend(self, attn, q, k, v, *, is_self):
        if is_self:
            k, v = (tensor[:1].expand_as(tensor) for tensor in (k, v))
        return super().attend(attn, q, k, v, is_self=is_self)


class RowBefore(Written):
    """Every row sees the keys of the row before it alone, as frames of a video do."""

    def attend(self, attn, q, k, v, *, is_self):
        if is_self:
            k, v = k.roll(1, 0), v.roll(1, 0)
        return super().attend(attn, q, k, v, is_self=is_self)


class Scores(Written):
    """By diffusers' get_attention_scores and a product."""

    def attend(self, attn, q, k, v, *, is_self):
        self.note(q, k)
        p = attn.get_attention_scores(q.flatten(0, 1).contiguous(), k.flatten(0, 1).contiguous())
        return self.product(p, v.flatten(0, 1)).unflatten(0, q.shape[:2])

    def product(self, p, v):
        return torch.bmm(p, v)


class StoredAndMultiplied(Scores):
    """Looks at the probabilities, puts the same numbers back in place and multiplies by matmul."""

    def product(self, p, v):
        self.mean = p.mean()
        p[1:] = p[1:].clone()
        return p.to(v.dtype).contiguous() @ v


class EditedInPlace(Scores):
    def product(self, p, v):
        p[..., 3] *= 5
        return torch.bmm(p, v)


class EditedInACopy(Scores):
    def product(self, p, v):
        return torch.bmm(torch.cat([p[:1], p[1:] * 2]), v)


class EditedBySum(Scores):
    def product(self, p, v):
        return torch.einsum("bqk,bkd->bqd", p / p.sum(-1, keepdim=True).clamp(max=0.5), v)


class QueriesOfAllHeads(Written):
    """One head of keys for all heads of queries, broadcast by torch."""

    def attend(self, attn, q, k, v, *, is_self):
        return super().attend(attn, q, k[:, :1], v[:, :1], is_self=is_self)


class Masked(Written):
    """With a mask in whatever shape a child gives it."""

    def masked(self, q, k, mask):
        scores = q.double() @ k.double().mT * q.shape[-1] ** -0.5 + mask.double()
        self.seen.append(scores.softmax(-1))


class MaskOverwritten(Masked):
    """The mask's memory is used again."""

    def attend(self, attn, q, k, v, *, is_self):
        mask = torch.linspace(-3, 3, k.shape[2]).repeat(q.shape[2], 1)
        self.masked(q, k, mask)
        out = F.scaled_dot_product_attention(q, k, v, mask)
        mask.zero_()
        return out


class MaskOfEachRow(Masked):
    """Each row by itself, its mask with three axes."""

    def attend(self, attn, q, k, v, *, is_self):
        masks = torch.linspace(-3, 3, len(q) * k.shape[2]).reshape(len(q), 1, 1, -1)
        self.masked(q, k, masks)
        rows = zip(q.split(1), k.split(1), v.split(1), masks, strict=True)
        return torch.cat([F.scaled_dot_product_attention(*row) for row in rows])


class MaskOfEachChunk(Masked):
    """Queries in two slices, each with one mask for all its queries."""

    def attend(self, attn, q, k, v, *, is_self):
        half = q.shape[2] // 2
        first = torch.linspace(-3, 3, k.shape[2]).reshape(1, 1, 1, -1)
        masks = [first.expand(1, 1, half, -1), first.flip(-1).expand(1, 1, q.shape[2] - half, -1)]
        self.masked(q, k, torch.cat(masks, 2))
        parts = zip((q[:, :, :half], q[:, :, half:]), (first, first.flip(-1)), strict=True)
        return torch.cat([F.scaled_dot_product_attention(part, k, v, mask) for part, mask in parts], 2)


class SparseProduct(Scores):
    def product(self, p, v):
        return torch.bmm(p.to_sparse(), v)


class ProductIntoMemory(Scores):
    def product(self, p, v):
        return torch.bmm(p, v, out=torch.empty(*p.shape[:2], v.shape[2]))


class EditedAfterAMean(Scores):
    """A product for statistics comes before the one that counts."""

    def product(self, p, v):
        torch.bmm(p, torch.ones_like(v))
        return torch.bmm(p * 2, v)


class MeanFirst(Scores):
    """A product for statistics comes before the one that counts."""

    def product(self, p, v):
        torch.bmm(p, torch.ones_like(v))
        return torch.bmm(p, v)


class EditedThroughNumpy(Scores):
    def product(self, p, v):
        array = p.detach().numpy()
        array *= 2
        return torch.bmm(p, v)


class EditedInAList(Scores):
    def product(self, p, v):
        torch._foreach_mul_([p], 2.0)
        return torch.bmm(p, v)


class Difference(Written):
    """Two attentions over the same keys, mixed."""

    def attend(self, attn, q, k, v, *, is_self):
        calm = F.scaled_dot_product_attention(q * 0.1, k, v)
        return 2 * F.scaled_dot_product_attention(q, k, v) - calm


class ResultReordered(Written):
    """The attention as it should be, and its result in another order along one axis."""

    axis = 0

    def attend(self, attn, q, k, v, *, is_self):
        return F.scaled_dot_product_attention(q, k, v).flip(self.axis)


class Reordered(ResultReordered):
    """Queries, keys and values in another order along one axis, and the result put back."""

    def attend(self, attn, q, k, v, *, is_self):
        q, k, v = (tensor.flip(self.axis) for tensor in (q, k, v))
        return super().attend(attn, q, k, v, is_self=is_self)


def along(axis, kind):
    """The same processor along another axis: 1 for heads, 2 for places."""
    return type(f"{kind.__name__}Along{axis}", (kind,), {"axis": axis})


class HeadsBeforeRows(Scores):
    """(head x row, place, dim), where diffusers has (row x head, place, dim)."""

    def attend(self, attn, q, k, v, *, is_self):
        q, k, v = (tensor.transpose(0, 1).flatten(0, 1).contiguous() for tensor in (q, k, v))
        out = torch.bmm(attn.get_attention_scores(q, k), v)
        return out.unflatten(0, (attn.heads, -1)).transpose(0, 1)


class TokensReordered(Written):
    def attend(self, attn, q, k, v, *, is_self):
        if not is_self:
            k, v = k.flip(2), v.flip(2)
        return super().attend(attn, q, k, v, is_self=is_self)


class ResultOfFirstRow(Written):
    def attend(self, attn, q, k, v, *, is_self):
        return F.scaled_dot_product_attention(q, k, v)[:1].expand_as(q)


class ResultInChunksReordered(Written):
    def attend(self, attn, q, k, v, *, is_self):
        rows = zip(q.split(1), k.split(1), v.split(1), strict=True)
        return torch.cat([F.scaled_dot_product_attention(*row) for row in rows][::-1])


class ProductReordered(Scores):
    def product(self, p, v):
        return torch.bmm(p, v).flip(0)


class OutputReordered(Written):
    """Everything as it should be, and what the module returns in another order."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **_):
        return super().__call__(attn, hidden_states, encoder_hidden_states).flip(0)


class ReorderedLate(Written):
    """As it should be in the first two steps."""

    def __init__(self):
        super().__init__()
        self.runs = 0

    def attend(self, attn, q, k, v, *, is_self):
        self.runs += 1
        out = F.scaled_dot_product_attention(q, k, v)
        return out.flip(0) if self.runs > 80 else out


class LinearProduct(Scores):
    """The product with V row by row, by a linear layer."""

    def product(self, p, v):
        return torch.stack([F.linear(one, value.T) for one, value in zip(p, v, strict=True)])
