#include "textflag.h"

// func bucketMasks(tables *buckets, b *byte, blocks int, masks *uint64)
//
// For each block of 64 bytes, and for each place in it, the buckets that the
// place's four bytes can belong to: a VPERMI2B lookup a byte for eight buckets each,
// in tables of 128 entries (the eighth bit of a byte is not looked at). A place
// whose buckets are not empty sets its bit in the block's mask. Three bytes behind
// the last block are read.
TEXT ·bucketMasks(SB), NOSPLIT, $0-32
	MOVQ tables+0(FP), AX
	MOVQ b+8(FP), SI
	MOVQ blocks+16(FP), CX
	MOVQ masks+24(FP), DI
	VMOVDQU64 0(AX), Z8
	VMOVDQU64 64(AX), Z9
	VMOVDQU64 128(AX), Z10
	VMOVDQU64 192(AX), Z11
	VMOVDQU64 256(AX), Z12
	VMOVDQU64 320(AX), Z13
	VMOVDQU64 384(AX), Z14
	VMOVDQU64 448(AX), Z15
	VMOVDQU64 512(AX), Z16
	VMOVDQU64 576(AX), Z17
	VMOVDQU64 640(AX), Z18
	VMOVDQU64 704(AX), Z19
	VMOVDQU64 768(AX), Z20
	VMOVDQU64 832(AX), Z21
	VMOVDQU64 896(AX), Z22
	VMOVDQU64 960(AX), Z23
	VMOVDQU64 1024(AX), Z24
	VMOVDQU64 1088(AX), Z25
	VMOVDQU64 1152(AX), Z26
	VMOVDQU64 1216(AX), Z27
	VMOVDQU64 1280(AX), Z28
	VMOVDQU64 1344(AX), Z29
	VMOVDQU64 1408(AX), Z30
	VMOVDQU64 1472(AX), Z31

loop:
	TESTQ CX, CX
	JZ    done
	VMOVDQU64 0(SI), Z0
	VPERMI2B Z9, Z8, Z0
	VMOVDQU64 1(SI), Z1
	VPERMI2B Z11, Z10, Z1
	VPANDQ Z1, Z0, Z0
	VMOVDQU64 2(SI), Z1
	VPERMI2B Z13, Z12, Z1
	VPANDQ Z1, Z0, Z0
	VMOVDQU64 3(SI), Z1
	VPERMI2B Z15, Z14, Z1
	VPANDQ Z1, Z0, Z0
	VMOVDQU64 0(SI), Z2
	VPERMI2B Z17, Z16, Z2
	VMOVDQU64 1(SI), Z3
	VPERMI2B Z19, Z18, Z3
	VPANDQ Z3, Z2, Z2
	VMOVDQU64 2(SI), Z3
	VPERMI2B Z21, Z20, Z3
	VPANDQ Z3, Z2, Z2
	VMOVDQU64 3(SI), Z3
	VPERMI2B Z23, Z22, Z3
	VPANDQ Z3, Z2, Z2
	VMOVDQU64 0(SI), Z4
	VPERMI2B Z25, Z24, Z4
	VMOVDQU64 1(SI), Z5
	VPERMI2B Z27, Z26, Z5
	VPANDQ Z5, Z4, Z4
	VMOVDQU64 2(SI), Z5
	VPERMI2B Z29, Z28, Z5
	VPANDQ Z5, Z4, Z4
	VMOVDQU64 3(SI), Z5
	VPERMI2B Z31, Z30, Z5
	VPANDQ Z5, Z4, Z4
	VPORQ  Z0, Z2, Z0
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
// have any, one for each of four bits of table 3, and one of where ſ (C5 BF) or the
// Kelvin sign (E2 84 AA) may begin. Bytes beyond ASCII have no bit in the others, but
// for a byte-order mark's first, which counts as a control character. Two bytes behind the last block are read.
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
	MOVL $0xc5, AX
	VPBROADCASTB AX, Z25
	MOVL $0xbf, AX
	VPBROADCASTB AX, Z26
	MOVL $0xe2, AX
	VPBROADCASTB AX, Z27
	MOVL $0x84, AX
	VPBROADCASTB AX, Z28

next:
	TESTQ CX, CX
	JZ    end
	VMOVDQU64 0(SI), Z0
	VMOVDQU64 1(SI), Z1
	VMOVDQU64 2(SI), Z2
	VPCMPEQB Z25, Z0, K1
	VPCMPEQB Z26, Z1, K1, K1
	VPCMPEQB Z27, Z0, K2
	VPCMPEQB Z28, Z1, K2, K2
	KORQ  K1, K2, K1
	KMOVQ K1, 104(DI)
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
	VPTESTMB Z11, Z3, K2, K1
	KMOVQ K1, 96(DI)
	ADDQ $64, SI
	ADDQ $112, DI
	DECQ CX
	JMP  next

end:
	VZEROUPPER
	RET

// A step of a lookup: the entries at OFF of the bytes IDX, less what was taken from
// them, go into ACC. A byte with its highest bit set gives zero. Takes Y6.
#define STEP(IDX, OFF, ACC) \
	VBROADCASTI128 OFF(AX), Y6 \
	VPSHUFB        IDX, Y6, Y6 \
	VPXOR          Y6, ACC, ACC

// The entries of the bytes IDX, below 0x80, in the table at OFF. IDX is used up.
#define LOOKUP(IDX, OFF, ACC) \
	VPXOR  ACC, ACC, ACC     \
	STEP(IDX, (OFF), ACC)    \
	VPSUBB Y15, IDX, IDX     \
	STEP(IDX, (OFF+16), ACC) \
	VPSUBB Y15, IDX, IDX     \
	STEP(IDX, (OFF+32), ACC) \
	VPSUBB Y15, IDX, IDX     \
	STEP(IDX, (OFF+48), ACC) \
	VPSUBB Y15, IDX, IDX     \
	STEP(IDX, (OFF+64), ACC) \
	VPSUBB Y15, IDX, IDX     \
	STEP(IDX, (OFF+80), ACC) \
	VPSUBB Y15, IDX, IDX     \
	STEP(IDX, (OFF+96), ACC) \
	VPSUBB Y15, IDX, IDX     \
	STEP(IDX, (OFF+112), ACC)

// Bit N of each byte of FROM, in BX. Takes Y6.
#define BIT(FROM, N) \
	VPSLLW    $(7-N), FROM, Y6 \
	VPMOVMSKB Y6, BX

// The same, where bytes are below 0x80, into the mask of the pattern N.
#define MASKED(N) \
	BIT(Y4, N)        \
	ANDL R10, BX      \
	MOVL BX, (8*N)(DI)

// func surveyMasks2(tables *[4][128]byte, b *byte, blocks int, masks *blockMasks)
//
// As surveyMasks, half a block at a time.
TEXT ·surveyMasks2(SB), NOSPLIT, $0-32
	MOVQ tables+0(FP), AX
	MOVQ b+8(FP), SI
	MOVQ blocks+16(FP), CX
	MOVQ masks+24(FP), DI
	ADDQ CX, CX
	MOVL $0x10, BX
	MOVQ BX, X15
	VPBROADCASTB X15, Y15
	MOVL $0x7f, BX
	MOVQ BX, X14
	VPBROADCASTB X14, Y14
	MOVL $0xef, BX
	MOVQ BX, X13
	VPBROADCASTB X13, Y13
	MOVL $0xc5, BX
	MOVQ BX, X12
	VPBROADCASTB X12, Y12
	MOVL $0xbf, BX
	MOVQ BX, X11
	VPBROADCASTB X11, Y11
	MOVL $0xe2, BX
	MOVQ BX, X10
	VPBROADCASTB X10, Y10
	MOVL $0x84, BX
	MOVQ BX, X9
	VPBROADCASTB X9, Y9
	XORQ R9, R9

half:
	TESTQ CX, CX
	JZ    done
	VMOVDQU 0(SI), Y0
	VMOVDQU 1(SI), Y1
	VMOVDQU 2(SI), Y2
	VPCMPEQB Y12, Y0, Y3
	VPCMPEQB Y11, Y1, Y6
	VPAND Y3, Y6, Y3
	VPCMPEQB Y10, Y0, Y6
	VPCMPEQB Y9, Y1, Y7
	VPAND Y6, Y7, Y6
	VPOR Y3, Y6, Y3
	VPMOVMSKB Y3, BX
	MOVL BX, 104(DI)
	VPCMPEQB Y13, Y0, Y3
	VPMOVMSKB Y3, R8
	VPMOVMSKB Y0, R10
	NOTL R10
	VMOVDQA Y0, Y3
	LOOKUP(Y3, 384, Y5)
	BIT(Y5, 0)
	ANDL R10, BX
	MOVL BX, 72(DI)
	BIT(Y5, 1)
	ANDL R10, BX
	MOVL BX, 80(DI)
	BIT(Y5, 2)
	ANDL R10, BX
	ORL  R8, BX
	MOVL BX, 88(DI)
	BIT(Y5, 3)
	ANDL R10, BX
	MOVL BX, 96(DI)
	LOOKUP(Y0, 0, Y4)
	VPAND Y14, Y1, Y1
	LOOKUP(Y1, 128, Y5)
	VPAND Y5, Y4, Y4
	VPAND Y14, Y2, Y2
	LOOKUP(Y2, 256, Y5)
	VPAND Y5, Y4, Y4
	VPXOR Y5, Y5, Y5
	VPCMPEQB Y5, Y4, Y5
	VPMOVMSKB Y5, BX
	NOTL BX
	ANDL R10, BX
	MOVL BX, 64(DI)
	JEQ  none
	MASKED(0)
	MASKED(1)
	MASKED(2)
	MASKED(3)
	MASKED(4)
	MASKED(5)
	MASKED(6)
	MASKED(7)

following:
	ADDQ $32, SI
	DECQ CX
	XORQ $4, R9
	JZ   whole
	ADDQ $4, DI
	JMP  half

whole:
	ADDQ $108, DI
	JMP  half

none:
	MOVL BX, 0(DI)
	MOVL BX, 8(DI)
	MOVL BX, 16(DI)
	MOVL BX, 24(DI)
	MOVL BX, 32(DI)
	MOVL BX, 40(DI)
	MOVL BX, 48(DI)
	MOVL BX, 56(DI)
	JMP  following

done:
	VZEROUPPER
	RET
