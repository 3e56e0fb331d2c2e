#include "textflag.h"

// func bucketMasks(tables *[2 * gramLen][128]byte, b *byte, blocks int, masks *uint64)
//
// For each block of 64 bytes, and for each place in it, the buckets that the
// place's four bytes can belong to: two VPERMI2B lookups a byte, of eight buckets
// each, in tables of 128 entries (the eighth bit of a byte is not looked at). A
// place whose buckets are not empty sets its bit in the block's mask. Three bytes
// behind the last block are read.
TEXT ·bucketMasks(SB), NOSPLIT, $0-32
	MOVQ tables+0(FP), AX
	MOVQ b+8(FP), SI
	MOVQ blocks+16(FP), CX
	MOVQ masks+24(FP), DI
	VMOVDQU64 0(AX), Z16
	VMOVDQU64 64(AX), Z17
	VMOVDQU64 128(AX), Z18
	VMOVDQU64 192(AX), Z19
	VMOVDQU64 256(AX), Z20
	VMOVDQU64 320(AX), Z21
	VMOVDQU64 384(AX), Z22
	VMOVDQU64 448(AX), Z23
	VMOVDQU64 512(AX), Z24
	VMOVDQU64 576(AX), Z25
	VMOVDQU64 640(AX), Z26
	VMOVDQU64 704(AX), Z27
	VMOVDQU64 768(AX), Z28
	VMOVDQU64 832(AX), Z29
	VMOVDQU64 896(AX), Z30
	VMOVDQU64 960(AX), Z31

loop:
	TESTQ CX, CX
	JZ    done
	VMOVDQU64 0(SI), Z0
	VMOVDQU64 1(SI), Z1
	VMOVDQU64 2(SI), Z2
	VMOVDQU64 3(SI), Z3
	VMOVDQA64 Z0, Z4
	VMOVDQA64 Z1, Z5
	VMOVDQA64 Z2, Z6
	VMOVDQA64 Z3, Z7
	VPERMI2B Z17, Z16, Z0
	VPERMI2B Z19, Z18, Z1
	VPERMI2B Z21, Z20, Z2
	VPERMI2B Z23, Z22, Z3
	VPERMI2B Z25, Z24, Z4
	VPERMI2B Z27, Z26, Z5
	VPERMI2B Z29, Z28, Z6
	VPERMI2B Z31, Z30, Z7
	VPANDQ Z0, Z1, Z0
	VPANDQ Z2, Z3, Z2
	VPANDQ Z0, Z2, Z0
	VPANDQ Z4, Z5, Z4
	VPANDQ Z6, Z7, Z6
	VPANDQ Z4, Z6, Z4
	VPORQ  Z0, Z4, Z0
	VPTESTMB Z0, Z0, K1
	KMOVQ K1, (DI)
	ADDQ $64, SI
	ADDQ $8, DI
	DECQ CX
	JMP  loop

done:
	VZEROUPPER
	RET

// func surveyMasks(tables *[4][128]byte, b *byte, blocks int, masks *blockMasks)
//
// For each block of 64 bytes: a mask for each of the eight patterns (tables 0 to 2
// looked up with a place's byte and the two behind it), one of the places that
// have any, and one for each of three bits of table 3. Bytes beyond ASCII have
// none, but for a byte-order mark's first, which counts as a control character.
// Two bytes behind the last block are read.
TEXT ·surveyMasks(SB), NOSPLIT, $0-32
	MOVQ tables+0(FP), AX
	MOVQ b+8(FP), SI
	MOVQ blocks+16(FP), CX
	MOVQ masks+24(FP), DI
	VMOVDQU64 0(AX), Z16
	VMOVDQU64 64(AX), Z17
	VMOVDQU64 128(AX), Z18
	VMOVDQU64 192(AX), Z19
	VMOVDQU64 256(AX), Z20
	VMOVDQU64 320(AX), Z21
	VMOVDQU64 384(AX), Z22
	VMOVDQU64 448(AX), Z23
	MOVL $0x01, AX
	VPBROADCASTB AX, Z8
	MOVL $0x02, AX
	VPBROADCASTB AX, Z9
	MOVL $0x04, AX
	VPBROADCASTB AX, Z10
	MOVL $0x08, AX
	VPBROADCASTB AX, Z11
	MOVL $0x10, AX
	VPBROADCASTB AX, Z12
	MOVL $0x20, AX
	VPBROADCASTB AX, Z13
	MOVL $0x40, AX
	VPBROADCASTB AX, Z14
	MOVL $0x80, AX
	VPBROADCASTB AX, Z15
	MOVL $0xef, AX
	VPBROADCASTB AX, Z24

next:
	TESTQ CX, CX
	JZ    end
	VMOVDQU64 0(SI), Z0
	VMOVDQU64 1(SI), Z1
	VMOVDQU64 2(SI), Z2
	VPMOVB2M Z0, K2
	KNOTQ K2, K2
	VPCMPEQB Z24, Z0, K3
	VMOVDQA64 Z0, Z3
	VPERMI2B Z17, Z16, Z0
	VPERMI2B Z19, Z18, Z1
	VPERMI2B Z21, Z20, Z2
	VPERMI2B Z23, Z22, Z3
	VPANDQ Z0, Z1, Z0
	VPANDQ Z0, Z2, Z0
	VPTESTMB Z0, Z0, K2, K1
	KMOVQ K1, BX
	MOVQ BX, 64(DI)
	TESTQ BX, BX
	JZ    single
	VPTESTMB Z8, Z0, K2, K1
	KMOVQ K1, 0(DI)
	VPTESTMB Z9, Z0, K2, K1
	KMOVQ K1, 8(DI)
	VPTESTMB Z10, Z0, K2, K1
	KMOVQ K1, 16(DI)
	VPTESTMB Z11, Z0, K2, K1
	KMOVQ K1, 24(DI)
	VPTESTMB Z12, Z0, K2, K1
	KMOVQ K1, 32(DI)
	VPTESTMB Z13, Z0, K2, K1
	KMOVQ K1, 40(DI)
	VPTESTMB Z14, Z0, K2, K1
	KMOVQ K1, 48(DI)
	VPTESTMB Z15, Z0, K2, K1
	KMOVQ K1, 56(DI)

single:
	VPTESTMB Z8, Z3, K2, K1
	KMOVQ K1, 72(DI)
	VPTESTMB Z9, Z3, K2, K1
	KMOVQ K1, 80(DI)
	VPTESTMB Z10, Z3, K2, K1
	KORQ  K1, K3, K1
	KMOVQ K1, 88(DI)
	ADDQ $64, SI
	ADDQ $96, DI
	DECQ CX
	JMP  next

end:
	VZEROUPPER
	RET
